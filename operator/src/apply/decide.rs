//! Whether a child is written, left, or not ours to touch. Pure.

use xxhash_rust::xxh3::xxh3_64;

use crate::observe::meta::{ChildSeen, Owner};

/// What was sent for a child last, and what the API server made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The object's uid.
    pub uid: String,
    /// Of what was sent.
    pub hash: u64,
    /// The object's fingerprint in the answer.
    pub fingerprint: u64,
}

/// Whose children are decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Us<'a> {
    /// The cluster's name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// What to do about a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is as it should be.
    Leave,
    /// Write it; over the object of this uid and no other.
    Apply(String),
    /// The index does not have it: ask the API server, since what lacks our label is not watched.
    Look,
    /// Somebody else's, as told.
    NotOurs(String),
    /// It is going away, or will be collected, as told; it is looked at again when it is gone.
    Wait(String),
}

/// The hash of what is sent.
#[must_use]
pub fn hash_of(body: &[u8]) -> u64 {
    xxh3_64(body)
}

/// What to do about a child that should be.
#[must_use]
pub fn decide(us: &Us<'_>, hash: u64, seen: Option<&ChildSeen>, sent: Option<&Sent>) -> Decision {
    let Some(seen) = seen else {
        return Decision::Look;
    };
    match standing(us, seen) {
        Standing::Foreign(who) => return Decision::NotOurs(who),
        Standing::Former => {
            return Decision::Wait("it belongs to an earlier NoticeCluster of this name, and is being collected".into());
        }
        Standing::Ours => {}
    }
    if seen.deleting {
        return Decision::Wait("it is being deleted".into());
    }
    let same = sent.is_some_and(|sent| {
        sent.uid == seen.uid && sent.hash == hash && sent.fingerprint == seen.fingerprint
    });
    if same {
        Decision::Leave
    } else {
        Decision::Apply(seen.uid.clone())
    }
}

/// Whether a child that should not be may be deleted.
#[must_use]
pub fn may_delete(us: &Us<'_>, seen: &ChildSeen) -> bool {
    !seen.deleting && matches!(standing(us, seen), Standing::Ours)
}

enum Standing {
    Ours,
    /// An earlier cluster's of the same name.
    Former,
    Foreign(String),
}

fn standing(us: &Us<'_>, seen: &ChildSeen) -> Standing {
    match &seen.owner {
        Owner::Cluster { uid, .. } if uid == us.uid => Standing::Ours,
        Owner::Cluster { name, .. } if name == us.name => Standing::Former,
        Owner::Cluster { name, .. } => Standing::Foreign(format!("NoticeCluster/{name}")),
        Owner::Other(who) => Standing::Foreign(who.clone()),
        // A volume claim, or what an earlier cluster left that was deleted without its children.
        Owner::None if seen.instance.as_deref() == Some(us.name) => Standing::Ours,
        Owner::None => Standing::Foreign("somebody (it has no owner and not the operator's labels)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const US: Us<'static> = Us { name: "rides", uid: "u" };

    fn seen(owner: Owner, instance: Option<&str>) -> ChildSeen {
        ChildSeen {
            uid: "child".into(),
            version: 1,
            fingerprint: 5,
            owner,
            instance: instance.map(str::to_owned),
            deleting: false,
        }
    }

    fn ours() -> ChildSeen {
        seen(Owner::Cluster { name: "rides".into(), uid: "u".into() }, Some("rides"))
    }

    fn sent(hash: u64, fingerprint: u64) -> Sent {
        Sent { uid: "child".into(), hash, fingerprint }
    }

    #[test]
    fn a_child_is_left_only_when_neither_side_moved() {
        assert_eq!(decide(&US, 1, Some(&ours()), Some(&sent(1, 5))), Decision::Leave);
        for sent in [Some(sent(2, 5)), Some(sent(1, 4)), None] {
            assert_eq!(decide(&US, 1, Some(&ours()), sent.as_ref()), Decision::Apply("child".into()));
        }
        assert_eq!(decide(&US, 1, None, Some(&sent(1, 5))), Decision::Look);
    }

    #[test]
    fn others_objects_are_never_written_or_deleted() {
        let theirs = [
            seen(Owner::Other("Rollout/rides".into()), Some("rides")),
            seen(Owner::None, None),
            seen(Owner::None, Some("food")),
            seen(Owner::Cluster { name: "food".into(), uid: "f".into() }, Some("rides")),
        ];
        for seen in theirs {
            assert!(matches!(decide(&US, 1, Some(&seen), None), Decision::NotOurs(_)), "{seen:?}");
            assert!(!may_delete(&US, &seen), "{seen:?}");
        }
    }

    #[test]
    fn an_earlier_clusters_child_is_waited_for_and_one_left_behind_is_taken_over() {
        let former = seen(Owner::Cluster { name: "rides".into(), uid: "old".into() }, Some("rides"));
        assert!(matches!(decide(&US, 1, Some(&former), None), Decision::Wait(_)));
        assert!(!may_delete(&US, &former));
        let left = seen(Owner::None, Some("rides"));
        assert!(matches!(decide(&US, 1, Some(&left), None), Decision::Apply(_)));
    }

    #[test]
    fn what_is_being_deleted_is_waited_for() {
        let going = ChildSeen { deleting: true, ..ours() };
        assert!(matches!(decide(&US, 1, Some(&going), None), Decision::Wait(_)));
        assert!(!may_delete(&US, &going));
    }

    proptest! {
        #[test]
        fn an_edit_always_comes_back(hash: u64, before: u64, after: u64) {
            prop_assume!(before != after);
            let edited = ChildSeen { fingerprint: after, ..ours() };
            prop_assert_eq!(
                decide(&US, hash, Some(&edited), Some(&sent(hash, before))),
                Decision::Apply("child".into())
            );
        }
    }
}
