//! A folded name stays as it is when it is folded again, and means the same field.

#![no_main]

use claim_process::domain::field::{Field, fold};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|name: &str| {
    let folded = fold(name);
    assert_eq!(fold(&folded), folded);
    assert!(folded.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
    if let Some(field) = Field::from_sent(name) {
        assert_eq!(Field::from_sent(&folded), Some(field));
    }
});
