//! Looks at the beginning of an input without taking it away.

use std::io::{self, Cursor, Read};

/// The most that is looked at ahead of reading it.
const LONGEST_PEEK: usize = 64 * 1024;

/// An input whose beginning was looked at.
pub(super) type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Looks at the beginning of an input, piece by piece, until that is enough, and gives back an input that still has it.
pub(super) fn peek<R: Read>(
    mut input: R,
    mut is_enough: impl FnMut(&[u8]) -> bool,
) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while head.len() < LONGEST_PEEK {
        let read = input.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        if read == 0 || is_enough(&buffer[..read]) {
            break;
        }
    }
    Ok((head.clone(), Cursor::new(head).chain(input)))
}
