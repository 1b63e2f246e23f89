//! What `/proc` shows of processes: parents, CPU time and memory.

use std::fs;

/// The kernel counts CPU time for users in hundredths of a second.
const US_PER_TICK: u64 = 10_000;

/// What the kernel counts for a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// The parent's id.
    pub parent: u32,
    /// The CPU time of all its threads, in microseconds.
    pub cpu_us: u64,
    /// The CPU time of the children that it waited for, in microseconds.
    pub ended_children_cpu_us: u64,
}

/// Reads `/proc/<id>/stat`; `None` if the process has ended.
pub fn stat(id: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

fn parse(line: &str) -> Option<Stat> {
    // The name, in parentheses, may contain anything; the state and the parent follow it.
    let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        cpu_us: (ticks(11)? + ticks(12)?) * US_PER_TICK,
        ended_children_cpu_us: (ticks(13)? + ticks(14)?) * US_PER_TICK,
    })
}

/// The running children of a process.
pub fn children(of: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    ids.filter(|id| stat(*id).is_some_and(|stat| stat.parent == of)).collect()
}

/// The highest resident memory that a process has had, in bytes.
pub fn peak_memory(id: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{id}/status")).ok()?, "VmHWM:")
}

/// The memory of a process, in bytes, where pages that it shares count in part.
pub fn proportional_memory(id: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?, "Pss:")
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194560 0 0 0 0 150 50 3 4 20 0 1 0 100 0 0";
        let stat = parse(line).unwrap();
        assert_eq!(stat, Stat { parent: 7, cpu_us: 2_000_000, ended_children_cpu_us: 70_000 });
    }

    #[test]
    fn this_process_has_memory_and_is_a_child_of_its_parent() {
        let own = std::process::id();
        let parent = stat(own).unwrap().parent;
        assert!(children(parent).contains(&own));
        assert!(peak_memory(own).unwrap() > 1_000_000);
        assert!(proportional_memory(own).unwrap() > 100_000);
        assert_eq!(kilobytes("VmPeak: 9 kB\nVmHWM:\t  12 kB\n", "VmHWM:"), Some(12_288));
    }
}
