//! Reads the engine's journal format (fjall 3): groups of entries, each with a checksum at its end.
//!
//! Start: tag 1, count (4), sequence number (8). Entry: tag 2, kind, compression, table (8), lengths of the key
//! (2), of the value (4) and as stored (4), key, value; or tag 4, table (8). End: tag 3, XXH3 of the entries (8),
//! magic (4). All numbers are little endian.

use std::io::{self, ErrorKind, Read};

use xxhash_rust::xxh3::Xxh3Default;

use crate::inbox::embedded::tables::LAST_ORDER;

const START: u8 = 1;
const ENTRY: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";

/// Between the numbers of two groups lie a few that the engine used for itself.
const FARTHEST: u64 = 1 << 32;

/// The most that one entry reads at once.
const CHUNK: usize = 64 << 10;

/// A whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) len: u64,
    pub(super) sequence: u64,
    /// It was synced before anything was written behind it.
    pub(super) durable: bool,
}

/// Why no group could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The file ends.
    Nothing,
    /// It can't be a group, as was seen after so many bytes of it.
    NoGroup(u64),
}

impl Ending {
    /// Whether what was there, `len` bytes of it, could be a group that was cut short.
    pub(super) fn within(self, len: usize) -> bool {
        matches!(self, Self::NoGroup(seen) if seen > len as u64)
    }
}

struct Input<'a, R> {
    inner: &'a mut R,
    taken: u64,
    limit: u64,
    hash: Xxh3Default,
}

/// Reads one group from `input`, which has `limit` bytes left; its sequence number must be above `last`.
pub(super) fn read_batch(
    input: &mut impl Read,
    limit: u64,
    last: u64,
) -> io::Result<Result<Batch, Ending>> {
    let mut input = Input {
        inner: input,
        taken: 0,
        limit,
        hash: Xxh3Default::new(),
    };
    match input.batch(last) {
        Ok(batch) => Ok(Ok(batch)),
        Err(Stop::Io(error)) => Err(error),
        Err(Stop::Bad) if input.limit == 0 => Ok(Err(Ending::Nothing)),
        Err(Stop::Bad) => Ok(Err(Ending::NoGroup(input.taken))),
    }
}

enum Stop {
    Io(io::Error),
    Bad,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof {
            Self::Bad
        } else {
            Self::Io(error)
        }
    }
}

impl<R: Read> Input<'_, R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.taken += N as u64;
        if self.taken > self.limit {
            return Err(Stop::Bad);
        }
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn hashed<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self.bytes()?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    /// Reads and hashes `len` bytes; answers the first of them.
    fn hashed_many(&mut self, len: usize) -> Result<Vec<u8>, Stop> {
        self.taken += len as u64;
        if self.taken > self.limit {
            return Err(Stop::Bad);
        }
        let mut first = vec![0; len.min(CHUNK)];
        self.inner.read_exact(&mut first)?;
        self.hash.update(&first);
        let mut left = len - first.len();
        let mut chunk = vec![0; left.min(CHUNK)];
        while left > 0 {
            let part = left.min(CHUNK);
            self.inner.read_exact(&mut chunk[..part])?;
            self.hash.update(&chunk[..part]);
            left -= part;
        }
        Ok(first)
    }

    fn batch(&mut self, last: u64) -> Result<Batch, Stop> {
        if self.bytes()? != [START] {
            return Err(Stop::Bad);
        }
        let count = u32::from_le_bytes(self.bytes()?);
        let sequence = u64::from_le_bytes(self.bytes()?);
        // The checksum leaves this number out. It rises, with small gaps.
        let in_order = last == 0 || (sequence > last && sequence - last < FARTHEST);
        if count == 0 || !in_order {
            return Err(Stop::Bad);
        }
        let mut durable = false;
        for _ in 0..count {
            durable |= self.entry()?;
        }
        let end: [u8; 13] = self.bytes()?;
        let (checksum, magic) = end[1..].split_at(8);
        if end[0] != END || magic != MAGIC || checksum != self.hash.digest().to_le_bytes() {
            return Err(Stop::Bad);
        }
        Ok(Batch {
            len: self.taken,
            sequence,
            durable,
        })
    }

    /// Whether the entry is the row that marks durable groups.
    fn entry(&mut self) -> Result<bool, Stop> {
        match self.hashed()? {
            [CLEAR] => {
                self.hashed::<8>()?;
                Ok(false)
            }
            [ENTRY] => {
                let [kind, compression]: [u8; 2] = self.hashed()?;
                self.hashed::<8>()?;
                let key = u16::from_le_bytes(self.hashed()?);
                self.hashed::<4>()?;
                let value = u32::from_le_bytes(self.hashed()?);
                if kind > 4 || compression > 1 {
                    return Err(Stop::Bad);
                }
                let key = self.hashed_many(key.into())?;
                self.hashed_many(usize::try_from(value).map_err(|_| Stop::Bad)?)?;
                Ok(key == LAST_ORDER)
            }
            _ => Err(Stop::Bad),
        }
    }
}
