//! Section 8: seeds, machine, versions, tracking.

use super::document::Document;
use super::sources::Sources;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    let config = sources.config();
    document.section("8. Reproducibility");
    document.item(
        "Seed",
        format_args!(
            "{} for folds, initial classifier, order, every augmentation, every bootstrap",
            config.seed
        ),
    );
    document.item("Digest of the weights", format_args!("`{}`", sources.trained.weights_sha256));
    document.found(
        "Digest of the training configuration",
        &config.digest().map(|d| format!("`{d}`")).map_err(|e| format!("{e:#}")),
    );
    match &sources.environment {
        Ok(environment) => {
            let memory = environment.memory_bytes.map_or("memory unknown".to_owned(), |bytes| {
                format!("{:.0} GiB of memory", bytes as f64 / 1_073_741_824.0)
            });
            document.item(
                "Hardware",
                format_args!(
                    "{}, {memory}, {} compute threads, {} CUDA devices",
                    environment.processor, environment.compute_threads, environment.cuda_devices
                ),
            );
            document.item("Software", super::text::counts(&environment.libraries));
            document.item(
                "Commit of the trainer",
                environment
                    .git_commit
                    .as_deref()
                    .unwrap_or("not known: the program does not lie in its repository"),
            );
            document.item("Run directory created", &environment.started);
            document.item(
                "Repeating it",
                if environment.cuda_devices == 0 {
                    "on a CPU with as many threads the same seed gives the same bits, also after a kill (the trainer's own tests show it; \
                     this run was not repeated)"
                } else {
                    "on a CPU with as many threads the same seed gives the same bits, also after a kill (the trainer's own tests show it; \
                     this run was not repeated); not shown on CUDA"
                },
            );
        }
        Err(why) => document.missing("Hardware and software", why),
    }
    let target = if config.tracking.server.is_some() {
        "an MLflow server"
    } else {
        "the local file store in MLflow's layout"
    };
    document.item(
        "Tracking",
        format_args!(
            "experiment {} in {target}: all parameters, metrics by epoch, result files as artefacts, registered model {}",
            config.tracking.experiment, config.tracking.registered_model
        ),
    );
}
