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
    document.paragraph("What the weights depend on (config.yaml of the run):");
    document.listing("yaml", &serde_yaml_ng::to_string(&sources.config().training_part())?);
    document.paragraph("What it was measured and released with:");
    document.listing("yaml", &serde_yaml_ng::to_string(&measuring(sources.config()))?);
    document.heading("Appendix B: further figures");
    for (name, caption) in [
        ("eda-borders.png", "Images with a border"),
        ("eda-exposure.png", "Images of extreme exposure"),
        ("eda-near-duplicates.png", "Near duplicates"),
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
