//! Rules for every file: a first line that states its purpose, a maximum length, a meaningful name.

use crate::{read, tracked};

#[test]
fn every_source_file_starts_with_a_doc_line() {
    for path in tracked(".rs") {
        assert!(read(&path).starts_with("//! "), "{} does not start with a //! line", path.display());
    }
}

#[test]
fn no_source_file_has_more_than_400_lines() {
    for path in tracked(".rs") {
        let lines = read(&path).lines().count();
        assert!(lines <= 400, "{} has {lines} lines: split it", path.display());
    }
}

#[test]
fn no_module_has_a_vague_name() {
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
