//! What every file has: a head that says what belongs in it, a size one can read, a name that says something.

use crate::{read, tracked};

#[test]
fn every_source_file_says_what_it_is_for() {
    for path in tracked(".rs") {
        assert!(read(&path).starts_with("//! "), "{} has no //! line at its head", path.display());
    }
}

#[test]
fn no_source_file_outgrows_its_reader() {
    for path in tracked(".rs") {
        let lines = read(&path).lines().count();
        assert!(lines <= 400, "{} has {lines} lines: what is it hiding?", path.display());
    }
}

#[test]
fn no_module_is_a_drawer() {
    for path in tracked(".rs") {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        assert!(
            !["utils", "util", "common", "helpers", "manager", "misc"].contains(&name.as_str()),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for path in tracked("Cargo.toml")
        .into_iter()
        .filter(|path| path.parent().is_some_and(|p| p != std::path::Path::new("")))
    {
        assert!(read(&path).contains("[lints]\nworkspace = true"), "{}", path.display());
    }
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    for path in tracked(".rs").into_iter().filter(|path| !path.starts_with("tests/tidy")) {
        let text = read(&path);
        assert!(
            !text.contains("#[allow(") && !text.contains("#![allow("),
            "{}: use #[expect(.., reason = ..)]",
            path.display()
        );
    }
}
