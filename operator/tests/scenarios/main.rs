//! The operator against a small API server of the tests' own, which fails as it is told: what a real one does seldom.

mod fake;
mod failures;
