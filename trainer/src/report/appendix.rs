//! Section 10: conclusion and appendices.

use super::document::Document;
use super::sources::Sources;
use anyhow::Result;

pub(super) fn write(sources: &Sources, document: &mut Document) -> Result<()> {
    document.section("10. Conclusion and appendices");
    document.paragraph(super::findings::verdict(sources));
    document.heading("Appendix A: complete configuration");
    document.paragraph("What the weights depend on (config.yaml of the run):");
    document.listing("yaml", &serde_yaml_ng::to_string(&sources.config().training_part())?);
    document.heading("Appendix B: further figures");
    for (name, caption) in [
        ("eda-borders.png", "Images with a border"),
        ("eda-exposure.png", "Images of extreme exposure"),
        ("eda-near-duplicates.png", "Near duplicates"),
        ("worst-external.png", "The most confident errors, images from elsewhere"),
    ] {
        if sources.figure(name).exists() {
            document.figure(&sources.figure(name), caption);
        }
    }
    document.heading("Appendix C: experiment log");
    match &sources.study {
        Ok(study) => document.table(
            ["trial", "drawn", "epochs", "select loss", "select AUC", "processor minutes"],
            study.file.trials.iter().map(|trial| {
                let last = trial.rungs.last();
                let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
                [
                    trial.number.to_string(),
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
