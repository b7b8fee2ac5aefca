//! Names of channels in Redis. Pure.
//!
//! `<namespace>a:<account>`, `<namespace>n:<node>`, `<namespace>nodes`, and `<namespace>b:<node>:<n>`, on which a node
//! hears itself. An account's id stands at the end and is taken as it is, whatever characters it has.

use crate::cluster::bus::{Channel, NodeId};
use crate::domain::AccountId;

/// The names within one namespace.
#[derive(Debug, Clone)]
pub(super) struct Names {
    namespace: String,
}

impl Names {
    pub(super) fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
        }
    }

    /// The name of a channel.
    pub(super) fn of(&self, channel: &Channel) -> String {
        let namespace = &self.namespace;
        match channel {
            Channel::Account(account) => format!("{namespace}a:{account}"),
            Channel::Node(node) => format!("{namespace}n:{node}"),
            Channel::Nodes => format!("{namespace}nodes"),
        }
    }

    /// The channel of a name; none when it is not one of ours.
    pub(super) fn channel(&self, name: &[u8]) -> Option<Channel> {
        let name = std::str::from_utf8(name).ok()?;
        let rest = name.strip_prefix(self.namespace.as_str())?;
        if rest == "nodes" {
            return Some(Channel::Nodes);
        }
        match rest.split_at_checked(2)? {
            ("a:", account) => Some(Channel::Account(AccountId::trusted(account))),
            ("n:", node) => Some(Channel::Node(NodeId(u64::from_str_radix(node, 16).ok()?))),
            _ => None,
        }
    }

    /// A channel on which this node hears itself, in the part of a cluster that `fits`. None when no name does: a
    /// namespace with braces puts all names into one part.
    pub(super) fn pulse(&self, node: NodeId, fits: impl Fn(&[u8]) -> bool) -> Option<String> {
        /// Each of a hundred parts is hit by one of these but for once in 10^40.
        const TRIES: u32 = 10_000;
        (0..TRIES)
            .map(|n| format!("{}b:{node}:{n}", self.namespace))
            .find(|name| fits(name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_channel_comes_back_from_its_name(account in "\\PC{1,40}", node: u64, namespace in "\\PC{0,12}") {
            let names = Names::new(namespace);
            let account = Channel::Account(AccountId::trusted(&account));
            for channel in [account, Channel::Node(NodeId(node)), Channel::Nodes] {
                let name = names.of(&channel);
                prop_assert_eq!(names.channel(name.as_bytes()), Some(channel));
            }
        }
    }

    #[test]
    fn names_of_others_are_no_channels() {
        let names = Names::new("ns:");
        for other in ["", "ns:", "ns:x:1", "other:nodes", "ns:n:zz", "ns:b:1:0"] {
            assert_eq!(names.channel(other.as_bytes()), None, "{other}");
        }
    }
}
