//! Card and report state configuration and measurements, and contain no word about another data set.

use crate::site::files_below;
use crate::support::{Workbench, assert_contains, first_phantom};
use std::path::{Path, PathBuf};

/// Words from data sets that the trainer has been used with, separated by bars.
const FOREIGN: &str = "Kermany|kermany|Guangzhou|Mendeley|NIH|Wang|CC BY|GluonCV|\
    paediatric|pediatric|children|child|official|224 x 224";

/// Four class folders, invented provenance, a use for adults, and gates that any trained network meets.
pub(crate) fn state_other_provenance(workbench: &Workbench) {
    let train = workbench.data().join("train");
    std::fs::create_dir(train.join("INFILTRATE")).unwrap();
    for i in 0..20 {
        let name = format!("person{}_virus_{i}.png", i / 2);
        std::fs::rename(train.join("PNEUMONIA").join(&name), train.join("INFILTRATE").join(&name)).unwrap();
    }
    for i in 0..3 {
        workbench.write_phantom(
            &format!("train/DEVICE/IM-7100-{i:04}.png"),
            first_phantom() + 5_000_000 + i,
            false,
        );
    }
    workbench.set(
        "
data:
  name: Example Hospital, radiographs of 2031
  classes: { INFILTRATE: positive, DEVICE: exclude }
export:
  intended_use: { statement: Triage of phantoms at Example Hospital., age_years: [18.0, 99.0], views: [PA], modalities: [DX] }
gates:
  min_patients: { train: 4, select: 1, calibrate: 1, test: 1 }
  min_auc: 0.6
  min_sensitivity: 0.1
  min_specificity: 0.1
  max_corruption_loss: 1.0
  max_border_auc: 1.0
  max_shortcut_loss: 1.0
provenance:
  source: archive of Example Hospital
  licence: agreement 17 of Example Hospital
  population: made-up patients of 2031
  label_method: drawn by a generator
  limitations: [Phantoms have no lungs]
",
    );
}

/// Card and report contain all statements and mark missing ones, and no text mentions another data set.
pub(crate) fn expect_own_words_only(workbench: &Workbench, reports: &Path) {
    let bundle = workbench.path().join("bundle");
    let card = std::fs::read_to_string(bundle.join("MODEL_CARD.md")).unwrap();
    let report = std::fs::read_to_string(reports.join("REPORT.md")).unwrap();
    for stated in [
        "Example Hospital, radiographs of 2031",
        "archive of Example Hospital",
        "agreement 17 of Example Hospital",
        "made-up patients of 2031",
        "drawn by a generator",
        "Phantoms have no lungs",
        "Triage of phantoms at Example Hospital",
        "Fit for its intended use",
        "| INFILTRATE | positive |",
        "| DEVICE | nothing: excluded |",
        "test split of the data",
    ] {
        assert!(card.contains(stated), "{stated:?} is not in the card:\n{card}");
        assert!(report.contains(stated), "{stated:?} is not in the report:\n{report}");
    }
    let row = card.lines().find(|line| line.starts_with("| DEVICE |")).unwrap();
    assert!(row.ends_with("| 3 |"), "{row}");
    assert_contains(
        &card,
        &[
            "Out of scope: patients under the age of 18; patients over the age of 99; projections other than PA; modalities other than DX.",
            "- Institutions: not stated.",
            "- Consent, ethics approval, anonymisation: not stated.",
            "- Contact: not stated.",
            "- Initial weights: none: training began with random weights.",
        ],
    );
    assert!(report.contains("- **Institutions:** not stated"), "{report}");

    // The signature consists of random letters.
    let files = texts(&bundle).into_iter().filter(|(path, _)| !path.ends_with("signature"));
    let files: Vec<_> = files.chain(texts(reports)).chain(texts(&workbench.run().join("figures"))).collect();
    assert!(files.len() > 20, "{} texts", files.len());
    for (path, text) in &files {
        for word in FOREIGN.split('|') {
            assert!(!has_word(text, word), "{}: {word:?}", path.display());
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next())
    })
}

/// All UTF-8 files below a folder.
pub(crate) fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let text = |path: PathBuf| Some((path.clone(), std::fs::read_to_string(path).ok()?));
    files_below(folder).into_iter().filter_map(text).collect()
}
