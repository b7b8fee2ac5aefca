//! Hash slots of a Redis Cluster: which of its masters a key or a channel belongs to. Pure.

use super::endpoint::Address;
use super::resp::Frame;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// Who serves which slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotTable {
    owners: Vec<u16>,
}

impl SlotTable {
    /// Reads the answer to `CLUSTER SLOTS` that the node at `asked` gave: the masters, and which has which slot.
    /// None unless all slots are served.
    pub(super) fn read(answer: &Frame, asked: &Address) -> Option<(Vec<Address>, Self)> {
        let Frame::Array(ranges) = answer else {
            return None;
        };
        let mut masters: Vec<Address> = Vec::new();
        let mut owners = vec![u16::MAX; SLOTS];
        for range in ranges {
            let (first, last, master) = read_range(range, asked)?;
            let known = masters.iter().position(|known| *known == master);
            let owner = known.unwrap_or_else(|| {
                masters.push(master);
                masters.len() - 1
            });
            owners
                .get_mut(first..=last)?
                .fill(u16::try_from(owner).ok()?);
        }
        let complete = !owners.contains(&u16::MAX);
        complete.then_some((masters, Self { owners }))
    }

    /// The index of the master that serves what has this name.
    pub(super) fn owner(&self, name: &[u8]) -> usize {
        usize::from(self.owners[usize::from(slot(name))])
    }
}

fn read_range(range: &Frame, asked: &Address) -> Option<(usize, usize, Address)> {
    let Frame::Array(range) = range else {
        return None;
    };
    let [
        Frame::Integer(first),
        Frame::Integer(last),
        Frame::Array(master),
        ..,
    ] = &range[..]
    else {
        return None;
    };
    // A node that does not know its own name leaves it out: it is the one that was asked.
    let host = match master.first()? {
        Frame::Text(host) if !host.is_empty() && host != "?" => {
            String::from_utf8(host.to_vec()).ok()?
        }
        _ => asked.host.clone(),
    };
    let Frame::Integer(port) = master.get(1)? else {
        return None;
    };
    let port = u16::try_from(*port).ok()?;
    let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
    (first <= last).then_some((first, last, Address { host, port }))
}

/// The slot of a name: of what is in its first braces, where there is anything, else of all of it.
fn slot(name: &[u8]) -> u16 {
    let tag = name.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inner = &name[open + 1..];
        let close = inner.iter().position(|byte| *byte == b'}')?;
        (close > 0).then_some(&inner[..close])
    });
    crc16(tag.unwrap_or(name)) % 16_384
}

/// CRC-16/XMODEM, which Redis uses.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Frame {
        Frame::Text(text.into())
    }

    fn range(first: i64, last: i64, host: &'static str, port: i64) -> Frame {
        let master = Frame::Array(vec![text(host), Frame::Integer(port), text("id")]);
        Frame::Array(vec![Frame::Integer(first), Frame::Integer(last), master])
    }

    #[test]
    fn slots_are_those_that_redis_reckons() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As CLUSTER KEYSLOT answers.
        for (name, expected) in [
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{foo}{bar}", 12_182),
            ("", 0),
        ] {
            assert_eq!(slot(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(
            slot(b"a{}{foo}"),
            crc16(b"a{}{foo}") % 16_384,
            "empty braces"
        );
        assert_eq!(slot(b"a{foo"), crc16(b"a{foo") % 16_384, "never closed");
    }

    #[test]
    fn a_table_names_each_master_once_and_fills_in_the_asked_host() {
        let asked = Address {
            host: "seed".to_owned(),
            port: 1,
        };
        let ranges = vec![
            range(0, 5000, "a", 7000),
            range(5001, 10_000, "", 7001),
            range(10_001, 16_383, "a", 7000),
        ];
        let (masters, table) = SlotTable::read(&Frame::Array(ranges), &asked).expect("complete");
        let names: Vec<String> = masters.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a:7000", "seed:7001"]);
        assert_eq!(table.owner(b"foo"), 0);
        assert_eq!(table.owner(b""), 0);
    }

    #[test]
    fn a_cluster_that_serves_only_a_part_is_not_ready() {
        let asked = Address {
            host: "seed".to_owned(),
            port: 1,
        };
        let part = Frame::Array(vec![range(0, 16_382, "a", 7000)]);
        assert_eq!(SlotTable::read(&part, &asked), None);
        let odd = Frame::Array(vec![range(0, 99_999, "a", 7000)]);
        assert_eq!(SlotTable::read(&odd, &asked), None);
    }
}
