//! Files and tests that documents name exist: paths, and tests as `file.rs::function`.

use crate::{read, tracked};
use std::path::Path;

/// Paths that end in `.rs`, each with the name after `::`. A name without a path belongs to the last path.
fn named(cell: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | ':' | '-');
    for word in cell.split(|c: char| !part_of_name(c)) {
        let (path, function) = word.split_once("::").map_or((word, None), |(path, name)| (path, Some(name)));
        let function = function.filter(|name| !name.is_empty()).map(|name| name.replace("::", ""));
        if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
            found.push((path.to_owned(), function));
        } else if path.is_empty()
            && let (Some(function), Some((last, _))) = (function, found.last().cloned())
        {
            found.push((last, Some(function)));
        }
    }
    found
}

#[test]
fn the_tests_that_hardening_names_exist() {
    let sources: Vec<(String, String)> =
        tracked(".rs").iter().map(|path| (path.display().to_string(), read(path))).collect();
    let mut missing = Vec::new();
    let mut n_named = 0;
    for row in read(Path::new("docs/HARDENING.md")).lines().filter(|line| line.starts_with('|')) {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        for (path, function) in named(cell) {
            n_named += 1;
            let files =
                sources.iter().filter(|(file, _)| file == &path || file.ends_with(&format!("/{path}")));
            let defined =
                |text: &str| function.as_ref().is_none_or(|name| text.contains(&format!("fn {name}(")));
            if !files.map(|(_, text)| text.as_str()).any(defined) {
                missing.push(format!("{path} {}", function.unwrap_or_default()));
            }
        }
    }
    assert!(n_named > 100, "docs/HARDENING.md names {n_named} tests: this test reads it wrongly");
    assert!(missing.is_empty(), "docs/HARDENING.md names what does not exist:\n{}", missing.join("\n"));
}

/// Paths between backticks, outside code blocks, that end in `.rs` or `/`. Bare file names and placeholders
/// such as `routes/<noun>.rs` are left out.
fn paths(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let quoted = prose.flat_map(|part| part.split('`').skip(1).step_by(2));
    let is_path = |word: &&str| {
        let ends = word.ends_with('/') || Path::new(word).extension().is_some_and(|end| end == "rs");
        ends && word.contains('/') && !word.contains(['<', '\n', ' ', '*', '{'])
    };
    quoted.filter(is_path).collect()
}

/// A path may leave out its first folders: `middleware/access.rs` is in `service/src/http/`.
#[test]
fn the_paths_that_the_architecture_names_exist() {
    let text = read(Path::new("docs/ARCHITECTURE.md"));
    let files: Vec<String> = tracked("").iter().map(|path| format!("/{}", path.display())).collect();
    let exists = |path: &str| {
        let path = format!("/{path}");
        files
            .iter()
            .any(|file| if path.ends_with('/') { file.contains(&path) } else { file.ends_with(&path) })
    };
    let named = paths(&text);
    assert!(named.len() > 20, "docs/ARCHITECTURE.md names {} paths: this test reads it wrongly", named.len());
    let missing: Vec<&str> = named.into_iter().filter(|path| !exists(path)).collect();
    assert!(
        missing.is_empty(),
        "docs/ARCHITECTURE.md names paths that do not exist; correct them there:\n{}",
        missing.join("\n")
    );
}

#[test]
fn paths_are_found_between_backticks() {
    let text =
        "`a/b.rs`, `c/` and `d.rs`\n```\ne/f.rs `g/h.rs`\n```\n`i/<noun>.rs`, `j.md`, `/readyz`, `k/l.rs`";
    assert_eq!(paths(text), ["a/b.rs", "c/", "k/l.rs"]);
}

#[test]
fn paths_and_tests_are_found_in_a_cell() {
    let found = named(" `a/b.rs::first`, `::second`, c.rs (every form), `make bench` ");
    let expected = [("a/b.rs", Some("first")), ("a/b.rs", Some("second")), ("c.rs", None)];
    let expected: Vec<_> =
        expected.iter().map(|(path, name)| ((*path).to_owned(), name.map(str::to_owned))).collect();
    assert_eq!(found, expected);
}
