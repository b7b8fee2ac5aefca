//! The children of a handful of manifests, as they were last agreed on. `UPDATE_GOLDEN=1` writes them anew: read the
//! difference before you commit it.

#![cfg(test)]

mod support;

use std::collections::BTreeSet;

use notice_operator::build;
use notice_operator::build::edge::Controller;
use notice_operator::validate::{Facts, validate};
use serde_json::{Value, json};
use support::{as_values, children, cluster, facts, folder, manifest, with};

fn compare(name: &str, value: &Value) {
    let path = folder("tests/golden").join(format!("{name}.yaml"));
    let text = serde_yaml_ng::to_string(value).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let agreed = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert!(
        agreed == text,
        "{} differs; it is now:\n{text}",
        path.display()
    );
}

/// The children, file by file, and no file of a child that is no more.
fn compare_all(name: &str, manifest: &Value) {
    let mut seen = BTreeSet::new();
    for (child, mut value) in as_values(children(manifest)) {
        if child == "dashboard" {
            value["data"] = json!("charts/notice-operator/dashboards/notice-cluster.json");
        }
        compare(&format!("{name}/{child}"), &value);
        seen.insert(format!("{child}.yaml"));
    }
    for file in std::fs::read_dir(folder("tests/golden").join(name)).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        assert!(
            seen.contains(&file),
            "there is no {file} any more: remove tests/golden/{name}/{file}"
        );
    }
}

#[test]
fn the_embedded_example_has_its_agreed_children() {
    compare_all("embedded", &manifest("examples/embedded.yaml"));
}

#[test]
fn the_ingress_example_has_its_agreed_children() {
    compare_all("ingress", &manifest("examples/ingress.yaml"));
}

#[test]
fn the_gateway_example_has_its_agreed_children() {
    compare_all("gateway", &manifest("examples/gateway.yaml"));
}

#[test]
fn a_manifest_with_every_field_has_its_agreed_children() {
    compare_all("full", &manifest("tests/manifests/full.yaml"));
}

#[test]
fn a_manifest_at_the_root_path_has_its_agreed_children() {
    compare_all("root", &manifest("tests/manifests/root.yaml"));
}

#[test]
fn each_ingress_controller_has_its_agreed_annotations_and_notes() {
    let manifest = manifest("examples/ingress.yaml");
    let mut strings: Vec<String> = Controller::ALL.map(|c| c.string().to_owned()).into();
    strings.push("example.com/unheard-of".to_owned());
    for string in strings {
        let facts = Facts {
            ingress_controller: Some(string.clone()),
            ..facts()
        };
        let children = build::children(&validate(&cluster(&manifest), &facts).unwrap(), &facts);
        let ingress = children.ingress.unwrap().metadata.annotations;
        let service = children.service.metadata.annotations;
        let notes: Vec<_> = children
            .edge_notes
            .into_iter()
            .map(|n| format!("{}: {}", n.reason, n.message))
            .collect();
        let name = string.replace(['/', '.'], "-");
        compare(
            &format!("edge/{name}"),
            &json!({"ingress": ingress, "service": service, "notes": notes}),
        );
    }
}

#[test]
fn each_of_the_three_timeouts_shows_at_every_controller_that_can_be_told() {
    let base = manifest("examples/ingress.yaml");
    for controller in Controller::ALL {
        let facts = Facts {
            ingress_controller: Some(controller.string().to_owned()),
            ..facts()
        };
        let text = |manifest: &Value| {
            let plan = build::edge::plan(&validate(&cluster(manifest), &facts).unwrap(), &facts);
            format!("{plan:?}")
        };
        let read = with(&base, "spec.ingress.readTimeoutSeconds", json!(1234));
        match controller {
            // It says nothing about it: read alone decides.
            Controller::Alb | Controller::Gke => {
                assert!(text(&read).contains("1234"), "{controller:?}")
            }
            Controller::Traefik
            | Controller::HaproxyTech
            | Controller::HaproxyIngress
            | Controller::Contour => {
                assert!(text(&read).contains("1234"), "{controller:?}");
                let connect = with(&base, "spec.ingress.connectTimeoutSeconds", json!(567));
                assert!(text(&connect).contains("567"), "{controller:?}");
            }
            Controller::IngressNginx | Controller::F5Nginx => {
                for field in ["connect", "read", "send"] {
                    let changed = with(
                        &base,
                        &format!("spec.ingress.{field}TimeoutSeconds"),
                        json!(321),
                    );
                    assert!(text(&changed).contains("321"), "{controller:?} {field}");
                }
            }
        }
    }
}
