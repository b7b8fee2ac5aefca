//! Ed25519 public keys of those who may drain a node, and the forms they may be written in. Whether
//! a signature holds is not decided here.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::value::{Unfit, items};

/// What the DER of an Ed25519 public key begins with; the 32 bytes follow.
const DER_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// An Ed25519 public key, 32 bytes. Any 32 bytes: whether they are a point is the verifier's to
/// find out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DrainKey(pub [u8; 32]);

impl fmt::Display for DrainKey {
    /// Base64, as it may be written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for DrainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DrainKey({self})")
    }
}

/// Reads all keys of a text: PEM blocks, or base64 with commas or one a line.
pub(super) fn read(text: &str) -> Result<Vec<DrainKey>, Unfit> {
    if text.contains("PRIVATE KEY") {
        return Err((
            "this is a private key".to_owned(),
            "give the public one: openssl pkey -in KEY.pem -pubout; whoever saw this file may \
             have the private one now"
                .to_owned(),
        ));
    }
    let keys = if text.contains("-----") {
        pem_blocks(text)
    } else {
        items(text).map(one).collect()
    };
    keys.ok_or_else(|| {
        (
            "this is no Ed25519 public key".to_owned(),
            format!("write the PEM ({BEGIN} ...) or the base64 of its 32 bytes"),
        )
    })
}

fn pem_blocks(text: &str) -> Option<Vec<DrainKey>> {
    let mut keys = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (block, behind) = rest.strip_prefix(BEGIN)?.split_once(END)?;
        keys.push(one(block)?);
        rest = behind.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    Some(keys)
}

/// One key in base64: the bare 32 bytes, or its DER.
fn one(text: &str) -> Option<DrainKey> {
    let text: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    let bare = bytes.strip_prefix(&DER_HEAD).unwrap_or(&bytes);
    bare.try_into().ok().map(DrainKey)
}
