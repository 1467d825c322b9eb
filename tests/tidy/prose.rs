//! Comments and documents: their width, and words that the glossary replaces.

use crate::{read, tracked};
use std::path::{Path, PathBuf};

/// Longest comment line, in characters.
const MAX_WIDTH: usize = 110;

/// Words that hide who acts. Name the client, the operator or the reader, or use the passive.
const VAGUE: [&str; 3] = ["whoever", "nobody", "somebody"];

/// Documents that quote words which prose must not use, and the signed documents of a released bundle.
const EXEMPT: [&str; 4] =
    ["docs/GLOSSARY.md", "models/default/MODEL_CARD.md", "models/default/REPORT.md", "reports/REPORT.md"];

/// Numbered comment and doc lines of a source file.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| line.trim_start().starts_with("//"))
}

fn vague_word(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.find_map(|word| VAGUE.into_iter().find(|vague| *vague == word))
}

fn documents() -> impl Iterator<Item = PathBuf> {
    tracked(".md").into_iter().filter(|path| !EXEMPT.iter().any(|exempt| path == Path::new(exempt)))
}

#[test]
fn comments_fit_into_110_columns() {
    let mut wide = Vec::new();
    for path in tracked(".rs") {
        let text = read(&path);
        let found = comments(&text).filter(|(_, line)| line.chars().count() > MAX_WIDTH);
        wide.extend(found.map(|(number, _)| format!("{}:{number}", path.display())));
    }
    assert!(wide.is_empty(), "{} comment lines are too wide:\n{}", wide.len(), wide.join("\n"));
}

#[test]
fn comments_and_documents_name_who_acts() {
    let mut vague = Vec::new();
    for path in tracked(".rs") {
        let text = read(&path);
        let found = comments(&text).filter_map(|(number, line)| Some((number, vague_word(line)?)));
        vague.extend(found.map(|(number, word)| format!("{}:{number}: {word}", path.display())));
    }
    for path in documents() {
        let text = read(&path);
        let found = text.lines().zip(1..).filter_map(|(line, number)| Some((number, vague_word(line)?)));
        vague.extend(found.map(|(number, word): (usize, _)| format!("{}:{number}: {word}", path.display())));
    }
    assert!(vague.is_empty(), "docs/GLOSSARY.md has better words:\n{}", vague.join("\n"));
}
