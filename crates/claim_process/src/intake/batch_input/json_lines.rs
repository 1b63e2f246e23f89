//! JSON Lines: a claim a line. A line that cannot be read is refused alone.

use super::claim::{BatchClaim, BatchLimits, Ended, MOST_SKIPPED_CLAIM_SIZES, SourceLocation};
use super::hash::Hash;
use super::refusal::Refusal;
use crate::intake::{Malformed, read_json};
use std::io::{BufRead, Read};

pub(super) fn read<E>(
    mut input: impl BufRead,
    BatchLimits { max_claim_bytes, read: limits, hashes }: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let most = u64::try_from(max_claim_bytes).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let mut number = 0;
    let mut blank_bytes = 0;
    loop {
        line.clear();
        let mut endless = false;
        if input.by_ref().take(most.saturating_add(1)).read_until(b'\n', &mut line).map_err(Ended::Input)? == 0 {
            return Ok(());
        }
        number += 1;
        let raw_claim = if line.len() > max_claim_bytes && line.last() != Some(&b'\n') {
            endless = !skip_line(&mut input, MOST_SKIPPED_CLAIM_SIZES * max_claim_bytes).map_err(Ended::Input)?;
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
            // Without its line end, so that the error of a line that breaks off is in this line and not in the next.
            read_json(line.trim_ascii_end(), limits).map_err(|malformed| Refusal::Malformed(malformed.0))
        };
        // Trimmed, and with the same line end, so that a claim sent again with other line ends has the same hash.
        let hash = hashes.then(|| Hash::of(&[line.trim_ascii(), b"\n"].concat()));
        take(BatchClaim { location: Some(SourceLocation::InputLine(number)), file_line: None, raw_claim, hash })
            .map_err(Ended::Stopped)?;
        if endless {
            let why = format!("line {number} has no end, and what follows it was not read");
            return Err(Ended::Malformed(Malformed(why)));
        }
    }
}

/// Skips the rest of a line; `false` if it has not ended after `most` bytes.
fn skip_line(input: &mut impl BufRead, most: usize) -> std::io::Result<bool> {
    let mut skipped = 0;
    while skipped <= most {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(true);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let consumed = end.map_or(buffer.len(), |end| end + 1);
        skipped += consumed;
        input.consume(consumed);
        if end.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use crate::intake::ReadLimits;
    use crate::intake::batch_input::{BatchFormat, BatchLimits, Ended, Grouping, Refusal, SourceLocation, read_batch};
    use std::io::Read;

    #[test]
    fn a_line_without_end_ends_the_batch() {
        let endless = Read::chain("5\n".as_bytes(), std::io::repeat(b'x'));
        let limits = BatchLimits { max_claim_bytes: 100, read: ReadLimits::default(), hashes: true };
        let mut lines = Vec::new();
        let ended = read_batch(endless, Some(BatchFormat::JsonLines), Grouping::Claim, limits, &mut |claim| {
            lines.push((claim.location, claim.raw_claim.err()));
            Ok::<_, ()>(())
        });
        assert_eq!(lines[1], (Some(SourceLocation::InputLine(2)), Some(Refusal::TooLarge(100))));
        assert!(matches!(ended, Err(Ended::Malformed(why)) if why.0.starts_with("line 2 ")));
    }
}
