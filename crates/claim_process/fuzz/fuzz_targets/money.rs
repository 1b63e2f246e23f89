//! An amount that was read is written and read back as the same.

#![no_main]

use claim_events::{Cents, MOST_CENTS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(amount) = Cents::parse(text) {
        assert!((0..=MOST_CENTS).contains(&amount.0), "{amount} is out of bounds");
        assert_eq!(Cents::parse(&amount.to_string()), Ok(amount));
    }
});
