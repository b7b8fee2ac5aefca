//! The operator on a real control plane (`scripts/kubernetes start`): NOTICE_TEST_KUBECONFIG names its kubeconfig.
//!
//! Each test has a namespace of its own and an operator that watches only that, so they run side by side. There are no
//! nodes: pods stay Pending unless a test says that they run.

#![cfg(test)]

mod children;
mod denied;
mod farm;
mod leader;
mod many;
mod metrics_api;
mod optional;
mod quiet;
mod scene;
mod secrets;
mod sizing;
mod state;
