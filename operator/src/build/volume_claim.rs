//! The embedded store's volume. It holds what was promised, so nobody owns it: it outlives the cluster.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::meta::{Component, object};
use crate::validate::{Store, Validated};

pub(super) fn build(cluster: &Validated) -> Option<PersistentVolumeClaim> {
    let Store::Embedded(volume) = &cluster.store else {
        return None;
    };
    let mut metadata = object(cluster, Component::Server);
    metadata.owner_references = None;
    let size = Quantity(volume.size.clone());
    Some(PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: volume.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), size)].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}
