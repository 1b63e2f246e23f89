//! One claim in JSON is read, or said to be unreadable, in memory that is in proportion to it.

#![no_main]

use claim_process::intake::{ReadLimits, read_json};
use claim_process_fuzz::{is_short, judge, memory, memory_of_claim};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    memory::within(memory_of_claim(body.len()), || match read_json(body, ReadLimits::default()) {
        Ok(raw_claim) => judge(&raw_claim),
        Err(malformed) => is_short(&malformed.0),
    });
});
