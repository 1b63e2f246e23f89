//! A JSON array of claims, read element by element. Broken JSON ends the batch, because the next claim cannot be found.

use super::claim::{BatchClaim, BatchLimits, Ended};
use super::hash::Hash;
use super::refusal::Refusal;
use crate::intake::json::{broken, read_json};
use crate::intake::{Malformed, ReadLimits};
use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};

pub(super) fn read<E>(
    input: impl BufRead,
    BatchLimits { max_claim_bytes, read: limits, hashes }: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let left = Cell::new(max_claim_bytes);
    let mut stopped = None;
    let mut deserializer = serde_json::Deserializer::from_reader(Allowance { input, left: &left });
    let claims = Claims { left: &left, max_claim_bytes, limits, hashes, take, stopped: &mut stopped };
    let result = deserializer.deserialize_seq(claims).and_then(|()| deserializer.end());
    match (result, stopped) {
        (_, Some(stopped)) => Err(Ended::Stopped(stopped)),
        (Ok(()), None) => Ok(()),
        (Err(error), None) if error.is_io() => {
            let error = io::Error::from(error);
            match error.downcast::<TooLarge>() {
                Ok(TooLarge) => Err(Ended::Malformed(Malformed(format!(
                    "a claim may have at most {max_claim_bytes} bytes: send fewer lines in one claim"
                )))),
                Err(error) => Err(Ended::Input(error)),
            }
        }
        (Err(error), None) if error.is_data() => Err(Ended::Malformed(Malformed(
            "a batch in JSON must be an array of claims; one claim goes to /v1/claims, and a claim a line is \
             application/x-ndjson"
                .to_owned(),
        ))),
        (Err(error), None) => Err(Ended::Malformed(broken(&error))),
    }
}

struct Claims<'a, E> {
    left: &'a Cell<usize>,
    max_claim_bytes: usize,
    limits: ReadLimits,
    hashes: bool,
    take: &'a mut dyn FnMut(BatchClaim) -> Result<(), E>,
    stopped: &'a mut Option<E>,
}

impl<'de, E> Visitor<'de> for Claims<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of claims")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        loop {
            self.left.set(self.max_claim_bytes);
            let Some(raw) = elements.next_element::<Box<RawValue>>()? else { return Ok(()) };
            let text = raw.get().as_bytes();
            let claim = BatchClaim {
                location: None,
                file_line: None,
                raw_claim: read_json(text, self.limits).map_err(|malformed| Refusal::Malformed(malformed.0)),
                hash: self.hashes.then(|| Hash::of(text)),
            };
            if let Err(stopped) = (self.take)(claim) {
                *self.stopped = Some(stopped);
                return Err(A::Error::custom("no more is wanted"));
            }
        }
    }
}

/// An element has more bytes than a claim may have.
#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct TooLarge;

/// An input that gives no more bytes than are left.
struct Allowance<'a, R> {
    input: R,
    left: &'a Cell<usize>,
}

impl<R: BufRead> Read for Allowance<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get().checked_sub(buffer.len()) else { return Err(io::Error::other(TooLarge)) };
        let read = self.input.read(buffer)?;
        self.left.set(left + buffer.len() - read);
        Ok(read)
    }
}
