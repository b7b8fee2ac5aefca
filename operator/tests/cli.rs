//! The program itself: what a person sees of `crd`, `lint` and `render`.

mod support;

use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::{Value, json};
use support::{folder, manifest, with};

fn run(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_notice-operator");
    let mut command = Command::new(program);
    command.args(args).env_remove("NOTICE_SERVER_IMAGE");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file with these documents.
fn file(documents: &[Value]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let documents: Vec<_> = documents
        .iter()
        .map(|document| serde_yaml_ng::to_string(document).unwrap())
        .collect();
    std::fs::write(file.path(), documents.join("---\n")).unwrap();
    file
}

#[test]
fn crd_prints_the_file_of_the_repository() {
    let output = run(&["crd"]);
    assert!(output.status.success());
    let file = std::fs::read_to_string(folder("../crds/noticeclusters.yaml")).unwrap();
    assert_eq!(text(&output.stdout), file);
}

#[test]
fn lint_finds_nothing_in_the_examples() {
    for example in ["embedded", "ingress", "gateway"] {
        let path = folder("examples").join(format!("{example}.yaml"));
        let output = run(&["lint", "-f", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("rides: fine"));
    }
}

#[test]
fn lint_names_the_file_the_object_the_field_and_what_to_do() {
    let broken = with(
        &manifest("examples/embedded.yaml"),
        "spec.replica",
        json!(2),
    );
    let contradictory = with(
        &manifest("examples/embedded.yaml"),
        "spec.replicas",
        json!(2),
    );
    let file = file(&[
        broken,
        json!({"kind": "ConfigMap", "apiVersion": "v1"}),
        contradictory,
    ]);
    let output = run(&["lint", "-f", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let path = file.path().display();
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!(
            "error: {path}: rides: spec.replica: there is no such field; did you mean replicas?"
        )),
        "{said}"
    );
    assert!(
        said.contains(&format!(
            "error: {path}: rides: spec: the embedded store cannot be shared; set replicas to 1"
        )),
        "{said}"
    );
}

#[test]
fn lint_and_render_say_which_file_is_no_good() {
    for (name, content, words) in [
        ("no-yaml", "a: [", "it is no YAML"),
        (
            "other",
            "kind: ConfigMap\napiVersion: v1\n",
            "there is no NoticeCluster",
        ),
        ("empty", "", "there is no NoticeCluster"),
    ] {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join(name);
        std::fs::write(&path, content).unwrap();
        for command in ["lint", "render"] {
            let output = run(&[command, "-f", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1), "{command} {name}");
            let said = text(&output.stderr);
            assert!(
                said.contains(words) && said.contains(path.to_str().unwrap()),
                "{said}"
            );
        }
    }
    let output = run(&["lint", "-f", "/nowhere/to/be/found"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("it can't be read"));
}

#[test]
fn render_prints_every_child_as_a_document_and_notes_on_the_standard_error() {
    let path = folder("examples/ingress.yaml");
    let controller = ["--ingress-controller", "nginx.org/ingress-controller"];
    let output = run(&[&["render", "-f", path.to_str().unwrap()], &controller[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let kinds: Vec<String> = serde_yaml_ng::Deserializer::from_str(&printed)
        .map(|document| Value::deserialize(document).unwrap())
        .map(|child| child["kind"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "ServiceAccount",
        "ConfigMap",
        "NetworkPolicy",
        "Service",
        "Service",
        "Ingress",
        "PodDisruptionBudget",
        "ServiceMonitor",
        "PrometheusRule",
        "ConfigMap",
        "Deployment",
    ];
    assert_eq!(kinds, expected);
    assert!(printed.contains("nginx.org/websocket-services: rides"));
    assert!(printed.contains(&format!(
        "ghcr.io/notice/notice-server:{}",
        env!("CARGO_PKG_VERSION")
    )));
    assert!(text(&output.stderr).contains("note: rides:"));
}

#[test]
fn render_refuses_what_lint_refuses() {
    let file = file(&[with(
        &manifest("examples/embedded.yaml"),
        "spec.replicas",
        json!(2),
    )]);
    let output = run(&["render", "-f", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("set replicas to 1 at most"));
}
