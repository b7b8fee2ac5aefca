//! The CRD: the file in the repository is what the program prints, and it is fit for an API server.

mod support;

use notice_operator::api::crd;
use serde_json::Value;

/// `cargo run -p notice-operator -- crd > crds/noticeclusters.yaml` makes it anew.
#[test]
fn the_file_in_the_repository_is_what_the_program_prints() {
    let path = support::folder("../crds/noticeclusters.yaml");
    let printed = crd::yaml().unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &printed).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(
        file == printed,
        "crds/noticeclusters.yaml is old: notice-operator crd > crds/noticeclusters.yaml"
    );
}

fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (key, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(child, &format!("{path}.{key}"), visit);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{path}[]"), visit);
        }
    }
}

#[test]
fn the_schema_is_structural_and_every_field_of_ours_is_described() {
    // Embedded kinds of Kubernetes describe themselves.
    const THEIRS: [&str; 6] = [
        "affinity",
        "tolerations",
        "topologySpreadConstraints",
        "adminFrom",
        "resources",
        "conditions",
    ];
    walk(&crd::schema().unwrap(), "", &mut |path, node| {
        let int_or_string = node["x-kubernetes-int-or-string"] == true;
        assert!(
            node["type"].is_string() || int_or_string,
            "{path} has no type: {node}"
        );
        for key in ["nullable", "$ref", "oneOf", "allOf", "not", "const"] {
            assert!(node.get(key).is_none(), "{path} has {key}: {node}");
        }
        assert!(
            node.get("anyOf").is_none() || int_or_string,
            "{path} has anyOf"
        );
        let ours = !path.is_empty()
            && !path.ends_with(']')
            && !THEIRS.iter().any(|theirs| path.contains(theirs));
        let needless = [".apiVersion", ".kind", ".metadata"].contains(&path);
        assert!(
            !ours
                || needless
                || node["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 5),
            "{path} has no description"
        );
        if !path.is_empty() && path != ".spec.replicas" {
            assert!(
                node.get("default").is_none(),
                "{path} has a default in the schema"
            );
        }
    });
}

#[test]
fn lists_and_maps_of_ours_are_bounded() {
    const THEIRS: [&str; 6] = [
        "affinity",
        "tolerations.",
        "tolerations[",
        "topologySpreadConstraints[",
        "adminFrom[",
        "resources",
    ];
    walk(&crd::schema().unwrap(), "", &mut |path, node| {
        if THEIRS.iter().any(|theirs| path.contains(theirs)) || path.contains("conditions[") {
            return;
        }
        if node["type"] == "array" {
            assert!(node["maxItems"].is_u64(), "{path} has no maxItems: {node}");
        }
        if node["additionalProperties"].is_object() {
            assert!(
                node["maxProperties"].is_u64(),
                "{path} has no maxProperties"
            );
        }
    });
}

#[test]
fn columns_names_and_subresources_are_those_of_the_contract() {
    let crd = crd::crd().unwrap();
    let version = &crd["spec"]["versions"][0];
    let columns = version["additionalPrinterColumns"].as_array().unwrap();
    let columns: Vec<_> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Ready", "Replicas", "Sessions", "URL", "Age"]);
    assert_eq!(crd["spec"]["names"]["shortNames"][0], "nc");
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    assert_eq!(
        version["subresources"]["scale"]["specReplicasPath"],
        ".spec.replicas"
    );
    assert_eq!(
        version["subresources"]["scale"]["statusReplicasPath"],
        ".status.replicas"
    );
    assert_eq!(
        version["subresources"]["scale"]["labelSelectorPath"],
        ".status.selector"
    );
    assert!(version["subresources"]["status"].is_object());
    assert_eq!(
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"]["default"],
        1
    );
}

#[test]
fn lists_that_are_merged_by_key_say_so() {
    let schema = crd::schema().unwrap();
    let status = &schema["properties"]["status"]["properties"];
    assert_eq!(status["conditions"]["x-kubernetes-list-type"], "map");
    assert_eq!(
        status["conditions"]["x-kubernetes-list-map-keys"][0],
        "type"
    );
    assert_eq!(status["pods"]["x-kubernetes-list-map-keys"][0], "name");
}
