//! The parts of Kafka's protocol that the forwarder reads: frames, the head of a request, and fetch requests of the versions that
//! current clients use (<https://kafka.apache.org/protocol>).

use std::io::{ErrorKind, Read, Result};
use std::time::Duration;

/// The largest frame, in bytes: more than any message or fetch response here.
const MAX_FRAME_BYTES: usize = 128 * 1024 * 1024;

/// The bytes before the frame: its length.
const LENGTH_BYTES: usize = 4;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;

/// The versions of fetch requests that are read: the "flexible" ones that the cluster knows.
const READABLE_FETCHES: std::ops::RangeInclusive<i16> = 12..=16;

/// Since this version, a fetch names a topic by its id and not by its name.
const FIRST_WITH_TOPIC_ID: i16 = 13;

/// Since this version, a fetch no longer begins with the id of a replica.
const FIRST_WITHOUT_REPLICA: i16 = 15;

/// The bytes of a partition in a fetch request, and in a response that has no message of it.
const REQUESTED_PARTITION_BYTES: usize = 33;
const EMPTY_PARTITION_BYTES: usize = 37;

/// How many bytes longer than expected a response without messages may be: fields that the cluster adds. A message adds more.
const TOLERANCE_BYTES: usize = 16;

/// Reads a frame with its length into `frame`. `false` if the connection has ended.
pub(crate) fn read_frame(mut from: impl Read, frame: &mut Vec<u8>) -> Result<bool> {
    let mut length = [0; LENGTH_BYTES];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let bytes = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if bytes > MAX_FRAME_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    frame.clear();
    frame.extend_from_slice(&length);
    frame.resize(LENGTH_BYTES + bytes, 0);
    from.read_exact(&mut frame[LENGTH_BYTES..])?;
    Ok(true)
}

/// What the forwarder needs to know of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// It stores messages; the response has this correlation id.
    Produce(i32),
    /// It fetches messages, and waits for them.
    Fetch {
        /// That of the response.
        correlation_id: i32,
        /// How long it waits.
        max_wait: Duration,
        /// The most bytes of a response without messages.
        empty_bytes: usize,
    },
    /// Any other.
    Other,
}

/// The correlation id of a response.
pub(crate) fn correlation_id(response: &[u8]) -> Option<i32> {
    int32(response, LENGTH_BYTES)
}

/// Reads the head of a request. Takes the wait out of a fetch, so that the cluster answers it at once.
pub(crate) fn read_request(frame: &mut [u8]) -> Request {
    parse(frame).unwrap_or(Request::Other)
}

fn parse(frame: &mut [u8]) -> Option<Request> {
    let (api_key, version) = (int16(frame, 4)?, int16(frame, 6)?);
    let correlation_id = int32(frame, 8)?;
    if api_key == PRODUCE {
        return Some(Request::Produce(correlation_id));
    }
    if api_key != FETCH || !READABLE_FETCHES.contains(&version) {
        return None;
    }
    let client_id_bytes = usize::try_from(int16(frame, 12)?).unwrap_or(0);
    // Behind the client id are tagged fields. No client sends any here.
    let mut at = 14 + client_id_bytes;
    if *frame.get(at)? != 0 {
        return None;
    }
    at += 1;
    if version < FIRST_WITHOUT_REPLICA {
        at += 4;
    }
    let max_wait = Duration::from_millis(u64::try_from(int32(frame, at)?).unwrap_or(0));
    // Behind the wait are the bounds of bytes, the isolation level and the session.
    let empty_bytes = empty_response_bytes(frame, at + 21, version)?;
    frame.get_mut(at..at + 4)?.fill(0);
    Some(Request::Fetch { correlation_id, max_wait, empty_bytes })
}

/// The most bytes of a response without messages to the fetch whose list of topics begins at `at`.
fn empty_response_bytes(frame: &[u8], mut at: usize, version: i16) -> Option<usize> {
    // The length, the head, the time of throttling, an error, the session, and the tagged fields at the end.
    let mut bytes = LENGTH_BYTES + 5 + 4 + 2 + 4 + 1;
    let topics = number(frame, &mut at, &mut bytes)?.checked_sub(1)?;
    for _ in 0..topics {
        let name_bytes =
            if version >= FIRST_WITH_TOPIC_ID { 16 } else { number(frame, &mut at, &mut bytes)?.checked_sub(1)? };
        at = at.checked_add(name_bytes)?;
        let partitions = number(frame, &mut at, &mut bytes)?.checked_sub(1)?;
        // And the tagged fields of the topic.
        at = at.checked_add(partitions.checked_mul(REQUESTED_PARTITION_BYTES)? + 1)?;
        bytes += name_bytes + partitions * EMPTY_PARTITION_BYTES + 1;
    }
    (at <= frame.len()).then_some(bytes + TOLERANCE_BYTES)
}

/// Reads a number of variable length, as which the response has it again.
fn number(frame: &[u8], at: &mut usize, bytes: &mut usize) -> Option<usize> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*frame.get(*at)?);
        *at += 1;
        *bytes += 1;
        number |= (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn int16(frame: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}

fn int32(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(api_key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(77_i32.to_be_bytes());
        frame.extend(4_i16.to_be_bytes());
        frame.extend(b"name");
        frame.extend(body);
        let mut whole = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        whole.extend(frame);
        whole
    }

    /// The body of a fetch of two partitions of a topic, from the wait on.
    fn fetch(wait_ms: i32, topic: &[u8]) -> Vec<u8> {
        let mut body = wait_ms.to_be_bytes().to_vec();
        body.extend([9; 17]);
        body.push(2);
        body.extend(topic);
        body.push(3);
        body.extend([7; 2 * REQUESTED_PARTITION_BYTES]);
        body.extend([0, 1, 1, 0]);
        body
    }

    #[test]
    fn the_wait_is_taken_out_of_a_fetch() {
        let replica = (-1_i32).to_be_bytes();
        let id = [5; 16];
        let named = b"\x05name";
        let before_12 = [&[0], &replica[..]].concat();
        for (version, before, topic, topic_bytes) in
            [(12, &before_12, &named[..], 5), (14, &before_12, &id[..], 16), (16, &vec![0], &id[..], 16)]
        {
            let mut frame = request(FETCH, version, &[&before[..], &fetch(500, topic)].concat());
            let without = request(FETCH, version, &[&before[..], &fetch(0, topic)].concat());
            let read = read_request(&mut frame);
            let empty_bytes = 20 + 1 + topic_bytes + 1 + 2 * EMPTY_PARTITION_BYTES + 1 + TOLERANCE_BYTES;
            assert_eq!(read, Request::Fetch { correlation_id: 77, max_wait: Duration::from_millis(500), empty_bytes });
            assert_eq!(frame, without);
        }
    }

    #[test]
    fn other_requests_and_unreadable_ones_stay_as_they_are() {
        assert_eq!(read_request(&mut request(PRODUCE, 9, &[1, 2, 3])), Request::Produce(77));
        let whole = [&[0], &fetch(500, &[5; 16])[..]].concat();
        let mut frames =
            vec![request(3, 12, &[1; 20]), request(FETCH, 11, &whole), request(FETCH, 17, &whole), vec![0; 5]];
        frames.extend((0..90).map(|bytes| request(FETCH, 16, &whole[..bytes])));
        for frame in frames {
            let mut read = frame.clone();
            assert_eq!(read_request(&mut read), Request::Other);
            assert_eq!(read, frame);
        }
    }

    #[test]
    fn frames_are_read_whole_and_bounded() {
        let frames = [request(3, 1, b"a"), request(3, 1, b"bc")];
        let mut from = std::io::Cursor::new(frames.concat());
        let mut frame = Vec::new();
        for expected in &frames {
            assert!(read_frame(&mut from, &mut frame).unwrap());
            assert_eq!(&frame, expected);
        }
        assert!(!read_frame(&mut from, &mut frame).unwrap());
        assert!(read_frame(&[0x7f, 0xff, 0xff, 0xff][..], &mut frame).is_err());
        assert!(read_frame(&[0, 0, 0, 9, 1][..], &mut frame).is_err());
    }
}
