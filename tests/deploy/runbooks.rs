//! Runbooks: a section for each alert, and no other.

use crate::rules::alerts;
use crate::{deploy, files};
use std::collections::BTreeSet;

/// `FILE.md#anchor` of every section.
fn anchors() -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for path in files(&deploy("runbooks"), "md") {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        for heading in text.lines().filter_map(|line| line.strip_prefix("## ")) {
            assert!(anchors.insert(format!("{file}#{}", heading.to_lowercase())), "{file}: {heading} twice");
        }
    }
    anchors
}

#[test]
fn every_runbook_exists_and_every_section_belongs_to_an_alert() {
    let mut anchors = anchors();
    for alert in alerts() {
        let (name, url) = (alert.alert.unwrap(), &alert.annotations["runbook_url"]);
        let anchor = url.rsplit('/').next().unwrap();
        assert!(anchor.ends_with(&format!("#{}", name.to_lowercase())), "{name}: {url}");
        assert!(anchors.remove(anchor), "{name}: no section {anchor}");
    }
    assert!(anchors.is_empty(), "sections without an alert: {anchors:?}");
}

#[test]
fn every_section_answers_the_five_questions_and_its_links_lead_somewhere() {
    let anchors = anchors();
    for path in files(&deploy("runbooks"), "md") {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for section in text.split("\n## ").skip(1) {
            let name = section.lines().next().unwrap();
            for question in
                ["What it means.", "A false alarm?", "What to do.", "Stop answering?", "Whom to tell."]
            {
                assert!(section.contains(&format!("- **{question}** ")), "{file}, {name}: {question}");
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let anchor = if link.starts_with('#') { format!("{file}{link}") } else { link.to_owned() };
            let exists = anchors.contains(&anchor) || deploy("runbooks").join(&anchor).exists();
            assert!(exists, "{file}: {link} leads nowhere");
        }
    }
}
