//! A batch ends, whatever it holds; it has no more claims than lines; they do not depend on the pieces in which it
//! arrives, nor on how it is packed; and it takes the memory of one claim. The first byte says how it is read.

#![no_main]

use claim_process::intake::ReadLimits;
use claim_process::intake::batch_input::{BatchFormat, BatchLimits, Ended, Grouping, SourceLocation, read_batch};
use claim_process_fuzz::{is_short, judge, memory};
use flate2::Compression;
use flate2::read::GzEncoder;
use libfuzzer_sys::fuzz_target;
use std::io::{self, Read};

const MAX_CLAIM_BYTES: usize = 1024;

/// Enough for a claim of as many short rows as are read, however many there are in the batch.
const MAX_MEMORY_BYTES: usize = 8 * 1024 * 1024;

/// More claims than there are in a batch that is not packed: a small one that is may have millions.
const ENOUGH_CLAIMS: usize = 10_000;

const INPUT_FAILED: &str = "the input failed";

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

fuzz_target!(|input: &[u8]| {
    let Some((how, text)) = input.split_first() else { return };
    let format = match how & 0b11 {
        0 => None,
        1 => Some(BatchFormat::JsonArray),
        2 => Some(BatchFormat::JsonLines),
        _ => Some(BatchFormat::Csv),
    };
    let grouping = if how & 0b100 == 0 { Grouping::Claim } else { Grouping::Row };
    let is_packed = text.starts_with(&GZIP_MAGIC);

    let claims = read(text, format, grouping);
    let ends_of_claims =
        |byte: &&u8| matches!(byte, b'\n' | b'\r') || format != Some(BatchFormat::Csv) && **byte == b',';
    assert!(is_packed || claims.len() <= text.iter().filter(ends_of_claims).count() + 2);

    // Of what is packed and broken, the more can be unpacked before that is seen the smaller the pieces are.
    if claims.last().is_some_and(|end| end.starts_with(INPUT_FAILED)) {
        return;
    }
    match how & 0b1_1000 {
        0b0_1000 => assert_eq!(read(InPieces { text, bytes: 1 }, format, grouping), claims),
        0b1_0000 => assert_eq!(read(InPieces { text, bytes: 100 }, format, grouping), claims),
        0b1_1000 if !is_packed => assert_eq!(read(GzEncoder::new(text, Compression::fast()), format, grouping), claims),
        _ => {}
    }
});

/// What there is to say of each claim, and how the batch ended.
fn read(input: impl Read, format: Option<BatchFormat>, grouping: Grouping) -> Vec<String> {
    memory::within(MAX_MEMORY_BYTES, || {
        let mut results = Vec::new();
        let mut next_row = 1;
        let limits = BatchLimits { max_claim_bytes: MAX_CLAIM_BYTES, read: ReadLimits::default(), hashes: true };
        let ended = read_batch(input, format, grouping, limits, &mut |claim| {
            if let Some(SourceLocation::Rows(first, last)) = claim.location {
                assert!(first == next_row && first <= last, "rows {first} to {last} come where {next_row} is the next");
                next_row = last + 1;
            }
            match &claim.raw_claim {
                Ok(raw_claim) => judge(raw_claim),
                Err(refusal) => is_short(&refusal.finding().message),
            }
            results.push(format!("{:?} {} {}", claim.location, &claim.hash.as_deref().unwrap_or_default()[..16], claim.raw_claim.is_ok()));
            if results.len() < ENOUGH_CLAIMS { Ok(()) } else { Err(()) }
        });
        results.push(match ended {
            Ok(()) => "whole".to_owned(),
            Err(Ended::Stopped(())) => "stopped".to_owned(),
            Err(Ended::Input(error)) => format!("{INPUT_FAILED}: {:?}", error.kind()),
            Err(Ended::Malformed(malformed)) => {
                is_short(&malformed.0);
                malformed.0
            }
        });
        results
    })
}

/// A text that arrives in pieces of so many bytes.
struct InPieces<'a> {
    text: &'a [u8],
    bytes: usize,
}

impl Read for InPieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.bytes);
        self.text.read(&mut buffer[..most])
    }
}
