//! A folder of wrong files, each beside the errors that it must give.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use azenha_model::config::HostConfig;

#[test]
fn every_wrong_pipeline_gives_its_errors() {
    let count = common::check_goldens("wrong", "expected", |name, text| {
        let errors = common::resolve(name, text).expect_err(name);
        assert!(errors.0.iter().all(|error| error.line > 0 && error.column > 0), "an error without a place: {errors}");
        format!("{errors}\n")
    });
    assert!(count >= 30, "{count} files");
}

#[test]
fn every_wrong_configuration_gives_its_errors() {
    let count = common::check_goldens("wrong_config", "expected", |name, text| {
        let errors = HostConfig::parse(name, text, &|_| None, Path::new("data")).expect_err(name);
        format!("{errors}\n")
    });
    assert!(count >= 3, "{count} files");
}
