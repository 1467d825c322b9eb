//! Section 10: conclusion and appendices.

use super::document::Document;
use super::sources::Sources;
use crate::config::Config;
use anyhow::Result;
use serde_json::{Value, json};

pub(super) fn write(sources: &Sources, document: &mut Document) -> Result<()> {
    document.section("10. Conclusion and appendices");
    document.paragraph(super::findings::conclusion(sources));
    document.heading("Appendix A: configuration");
    document.paragraph(
        "What the weights depend on (config.yaml of the run, without the keys that it leaves blank):",
    );
    let training = without_blanks(serde_yaml_ng::to_value(sources.config().training_part())?);
    document.listing("yaml", &serde_yaml_ng::to_string(&training)?);
    document.paragraph("What it was measured and released with:");
    document.listing("yaml", &serde_yaml_ng::to_string(&measuring(sources.config()))?);
    document.heading("Appendix B: further figures");
    for (name, caption) in [
        ("eda-borders.png", "Images with a border, evenly over the dataset, with their class"),
        ("eda-exposure.png", "Images of extreme exposure, evenly over the dataset, with their class"),
        ("eda-near-duplicates.png", "Near duplicates, pair by pair"),
    ] {
        if sources.figure(name).exists() {
            document.figure(&sources.figure(name), caption);
        }
    }
    document.heading("Appendix C: experiment log");
    match &sources.study {
        Ok(study) => document.table(
            ["trial", "state", "drawn", "epochs", "select loss", "select AUC", "processor minutes"],
            study.file.trials.iter().map(|trial| {
                let last = trial.rungs.last();
                let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
                [
                    trial.number.to_string(),
                    super::text::key(&trial.state),
                    super::text::counts(
                        trial.parameters.iter().map(|(key, value)| (format!("`{key}`"), value)),
                    ),
                    cell(last.map(|rung| rung.epochs.to_string())),
                    cell(last.map(|rung| format!("{:.4}", rung.select_loss))),
                    cell(last.map(|rung| format!("{:.4}", rung.select_auc))),
                    format!("{:.1}", trial.cpu_seconds / 60.0),
                ]
            }),
        ),
        Err(why) => document.missing("Trials", why),
    }
    Ok(())
}

/// The training part without the keys on which no weight depends: their values there are not the configured ones.
fn without_blanks(mut training: serde_yaml_ng::Value) -> serde_yaml_ng::Value {
    for (section, keys) in
        [("data", &["root", "cache", "name", "max_unreadable_share"][..]), ("training", &["workers"])]
    {
        let section = training.get_mut(section).and_then(serde_yaml_ng::Value::as_mapping_mut);
        if let Some(section) = section {
            section.retain(|key, _| !key.as_str().is_some_and(|key| keys.contains(&key)));
        }
    }
    training
}

/// The keys that no weight depends on, without the folders of this machine.
fn measuring(config: &Config) -> Value {
    let mut value = json!({
        "stored_jpeg_quality": config.stored_jpeg_quality,
        "audit": config.audit,
        "calibration": config.calibration,
        "evaluation": config.evaluation,
        "robustness": config.robustness,
        "intended_use": config.export.intended_use,
        "gates": config.gates,
        "tune": config.tune,
    });
    for place in ["/calibration/ood_images", "/evaluation/ledger", "/evaluation/external/root"] {
        if let Some(path) = value.pointer_mut(place).filter(|path| path.is_string()) {
            *path = json!("a folder or file of this machine");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::without_blanks;

    #[test]
    fn keys_that_a_run_leaves_blank_are_not_shown_as_if_they_were_configured() {
        let part = "seed: 42\ndata:\n  root: ''\n  cache: null\n  name: ''\n  layout: flat\n  max_unreadable_share: 0.0\ntraining:\n  epochs: 3\n  workers: 0\n";
        let shown = without_blanks(serde_yaml_ng::from_str(part).unwrap());
        let expected = "seed: 42\ndata:\n  layout: flat\ntraining:\n  epochs: 3\n";
        assert_eq!(serde_yaml_ng::to_string(&shown).unwrap(), expected);
    }
}
