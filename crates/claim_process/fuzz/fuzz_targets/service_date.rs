//! A date that was read is written and read back as the same.

#![no_main]

use claim_process::domain::service_date::ServiceDate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(date) = ServiceDate::parse(text) {
        let written = date.to_string();
        assert_eq!(written.len(), "2018-03-28".len(), "{written} is not as ISO 8601 writes a day");
        assert_eq!(ServiceDate::parse(&written), Ok(date));
    }
});
