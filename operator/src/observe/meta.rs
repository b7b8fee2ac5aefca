//! What is kept of an object's metadata, and its fingerprint: what a person can edit, and nothing that moves by itself.

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::key::ClusterKey;

/// The label that all children carry, and by which they are watched.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const OPERATOR: &str = "notice-operator";
/// The label with the cluster's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The API group of `NoticeCluster`.
pub const GROUP: &str = "noticecluster.dev";

/// Whose an object is, by its controlling owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A `NoticeCluster`'s: name and uid.
    Cluster {
        /// Its name.
        name: String,
        /// Tells it from an earlier one of the same name.
        uid: String,
    },
    /// Somebody else's, as `Kind/name`.
    Other(String),
    /// Nobody's.
    None,
}

/// What is kept of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSeen {
    /// The object's uid.
    pub uid: String,
    /// The version, as a number where it is one: it orders what a watch and an answer say.
    pub version: u64,
    /// Of everything that the operator may own: moves when, and only when, somebody changed it.
    pub fingerprint: u64,
    /// Whose it is.
    pub owner: Owner,
    /// The cluster's name on its label, if the operator's label is on it as well.
    pub instance: Option<String>,
    /// It is going away.
    pub deleting: bool,
}

impl ChildSeen {
    /// What is kept of `object`.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let meta = &object["metadata"];
        Self {
            uid: text(&meta["uid"]).to_owned(),
            version: version(object),
            fingerprint: fingerprint(object),
            owner: owner(meta),
            instance: instance(meta),
            deleting: !meta["deletionTimestamp"].is_null(),
        }
    }

    /// The cluster it belongs to: by its owner, else by its labels (a volume claim has no owner).
    #[must_use]
    pub fn cluster(&self, namespace: &str) -> Option<ClusterKey> {
        let name = match &self.owner {
            Owner::Cluster { name, .. } => Some(name),
            _ => self.instance.as_ref(),
        };
        name.map(|name| ClusterKey::new(namespace, name))
    }
}

/// A JSON text, or none.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `metadata.resourceVersion` as a number; 0 when it is none, which never counts as older.
#[must_use]
pub fn version(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"])
        .parse()
        .unwrap_or(0)
}

/// Whether `incoming` is an older state than `known`: a watch may still tell what an answer has overtaken.
#[must_use]
pub const fn older(incoming: u64, known: u64) -> bool {
    incoming != 0 && known != 0 && incoming < known
}

fn owner(meta: &Value) -> Owner {
    let references = meta["ownerReferences"].as_array();
    let controller = references
        .into_iter()
        .flatten()
        .find(|it| it["controller"] == Value::Bool(true));
    match controller {
        None => Owner::None,
        Some(it) if text(&it["kind"]) == "NoticeCluster" && in_group(text(&it["apiVersion"])) => Owner::Cluster {
            name: text(&it["name"]).to_owned(),
            uid: text(&it["uid"]).to_owned(),
        },
        Some(it) => Owner::Other(format!("{}/{}", text(&it["kind"]), text(&it["name"]))),
    }
}

fn in_group(api_version: &str) -> bool {
    api_version.split('/').next() == Some(GROUP)
}

fn instance(meta: &Value) -> Option<String> {
    let labels = &meta["labels"];
    (text(&labels[MANAGED_BY]) == OPERATOR)
        .then(|| labels[INSTANCE].as_str().map(str::to_owned))
        .flatten()
}

/// Annotations that the cluster's own controllers write.
const THEIRS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
];

fn fingerprint(object: &Value) -> u64 {
    let mut hash = Xxh3::new();
    let meta = &object["metadata"];
    for part in ["labels", "ownerReferences"] {
        feed(&mut hash, part, &meta[part]);
    }
    for (name, value) in meta["annotations"].as_object().into_iter().flatten() {
        if !THEIRS.contains(&name.as_str()) {
            feed(&mut hash, name, value);
        }
    }
    for (name, value) in object.as_object().into_iter().flatten() {
        if !["metadata", "status", "apiVersion", "kind"].contains(&name.as_str()) {
            feed(&mut hash, name, value);
        }
    }
    hash.digest()
}

fn feed(hash: &mut Xxh3, name: &str, value: &Value) {
    hash.update(name.as_bytes());
    hash.update(value.to_string().as_bytes());
    hash.update(&[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "rides", "namespace": "a", "uid": "u1", "resourceVersion": "7", "generation": 1,
                "labels": {MANAGED_BY: OPERATOR, INSTANCE: "rides"},
                "annotations": {"deployment.kubernetes.io/revision": "1"},
                "ownerReferences": [{
                    "apiVersion": "noticecluster.dev/v1alpha1", "kind": "NoticeCluster", "name": "rides",
                    "uid": "c1", "controller": true
                }],
                "managedFields": [{"manager": "x"}]
            },
            "spec": {"replicas": 2},
            "status": {"replicas": 2}
        })
    }

    #[test]
    fn the_fingerprint_stays_while_only_the_clusters_controllers_write() {
        let before = ChildSeen::of(&deployment());
        let mut later = deployment();
        later["status"]["replicas"] = json!(1);
        later["metadata"]["resourceVersion"] = json!("9");
        later["metadata"]["generation"] = json!(4);
        later["metadata"]["managedFields"] = json!([]);
        later["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("2");
        let later = ChildSeen::of(&later);
        assert_eq!(before.fingerprint, later.fingerprint);
        assert_eq!((before.version, later.version), (7, 9));
    }

    #[test]
    fn the_fingerprint_moves_with_everything_a_person_can_edit() {
        let before = ChildSeen::of(&deployment()).fingerprint;
        for (pointer, value) in [
            ("/spec/replicas", json!(3)),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations", json!({"a": "b"})),
            ("/metadata/ownerReferences", json!([])),
        ] {
            let mut edited = deployment();
            *edited.pointer_mut(pointer).unwrap() = value;
            assert_ne!(before, ChildSeen::of(&edited).fingerprint, "{pointer}");
        }
        let mut more = deployment();
        more["data"] = json!({"a": "b"});
        assert_ne!(before, ChildSeen::of(&more).fingerprint);
    }

    #[test]
    fn a_child_belongs_to_its_owner_and_a_claim_to_its_label() {
        let mut object = deployment();
        let seen = ChildSeen::of(&object);
        assert_eq!(seen.cluster("a"), Some(ClusterKey::new("a", "rides")));
        object["metadata"]["ownerReferences"] = json!([]);
        object["metadata"]["labels"][INSTANCE] = json!("other");
        let seen = ChildSeen::of(&object);
        assert_eq!(seen.cluster("a"), Some(ClusterKey::new("a", "other")));
        object["metadata"]["labels"][MANAGED_BY] = json!("helm");
        assert_eq!(ChildSeen::of(&object).cluster("a"), None);
    }

    #[test]
    fn another_controllers_object_is_known_by_name() {
        let mut object = deployment();
        object["metadata"]["ownerReferences"][0]["kind"] = json!("Rollout");
        assert_eq!(ChildSeen::of(&object).owner, Owner::Other("Rollout/rides".into()));
    }

    #[test]
    fn only_a_smaller_number_is_older() {
        assert!(older(3, 4));
        assert!(!older(4, 4));
        assert!(!older(0, 4));
        assert!(!older(3, 0));
    }
}
