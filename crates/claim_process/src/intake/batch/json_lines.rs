//! JSON Lines: a claim a line. A line that cannot be read is refused alone.

use super::{BatchClaim, BatchLimits, Ended, Hash, Refusal, StandsIn};
use crate::intake::{Malformed, read_json};
use std::io::{BufRead, Read};

pub(super) fn read<E>(
    mut input: impl BufRead,
    BatchLimits { max_claim_bytes, read: limits }: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let most = u64::try_from(max_claim_bytes).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let mut number = 0;
    let mut blank_bytes = 0;
    loop {
        line.clear();
        if input.by_ref().take(most.saturating_add(1)).read_until(b'\n', &mut line).map_err(Ended::Input)? == 0 {
            return Ok(());
        }
        number += 1;
        let form = if line.len() > max_claim_bytes && line.last() != Some(&b'\n') {
            skip_line(&mut input).map_err(Ended::Input)?;
            Err(Refusal::TooLarge(max_claim_bytes))
        } else if line.iter().all(u8::is_ascii_whitespace) {
            blank_bytes += line.len();
            if blank_bytes > max_claim_bytes {
                let why = format!("there are more than {max_claim_bytes} bytes of blank lines before line {number}");
                return Err(Ended::Malformed(Malformed(why)));
            }
            continue;
        } else {
            blank_bytes = 0;
            read_json(&line, limits).map_err(|malformed| Refusal::Malformed(malformed.0))
        };
        // With one and the same line end, whatever is around it: the claim is the same. It is the end that most senders
        // write, which always was in their hashes.
        let hash = Hash::of(&[line.trim_ascii(), b"\n"].concat());
        take(BatchClaim { stands_in: Some(StandsIn::InputLine(number)), form, hash }).map_err(Ended::Stopped)?;
    }
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let consumed = end.map_or(buffer.len(), |end| end + 1);
        input.consume(consumed);
        if end.is_some() {
            return Ok(());
        }
    }
}
