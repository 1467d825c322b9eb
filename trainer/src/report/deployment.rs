//! Section 7: the bundle, the interface, monitoring, risk.

use super::document::Document;
use super::sources::Sources;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    let config = sources.config();
    document.section("7. Deployment");
    document.heading("Packaging");
    document.item(
        "Bundle",
        format_args!(
            "ONNX graph, manifest, drift reference, golden outputs, model card and this report under one Ed25519 signature, {} bytes at most",
            config.export.max_bytes
        ),
    );
    match &sources.release {
        Ok(release) => {
            document.item(
                "Released",
                format_args!(
                    "{} {}, {} bytes, digest `{}`, signed by {}",
                    release.name, release.version, release.n_bytes, release.bundle_sha256, release.signed_by
                ),
            );
            document.table(
                ["check", "outcome"],
                release
                    .verification
                    .checks
                    .iter()
                    .map(|check| [check.name.clone(), super::text::key(&check.outcome)]),
            );
            let r = &release.registration;
            document.item(
                "Model registry (MLflow)",
                format_args!(
                    "{}: version {}, alias {}, in {}",
                    r.model,
                    r.number.as_deref().unwrap_or("waiting to be sent"),
                    r.alias,
                    if r.target.contains("://") { "an MLflow server" } else { "the local file store" }
                ),
            );
        }
        Err(why) => document.missing(
            "Released",
            &format!("{why} (a bundle's own copy of this report is written before it is signed)"),
        ),
    }
    document.heading("Inference");
    document.item(
        "Interface",
        "`POST /v1/predict`: one encoded image, answered with probability, verdict, review reasons and audit identifier; openapi/openapi.json",
    );
    document.missing(
        "Load test, latency, throughput, failover",
        "they are properties of the service on its host, which a training run does not start",
    );
    document.heading("Monitoring");
    document.item(
        "Drift",
        "the service compares incoming images and scores with reference.json of the bundle (section 6)",
    );
    match &sources.calibrated {
        Ok(calibrated) => document.item(
            "Thresholds that the bundle carries",
            format_args!(
                "operating point {:.4}, review band {:.4} to {:.4}, out-of-distribution score {:.3} (percentile {} of calibrate)",
                calibrated.policy.threshold,
                calibrated.policy.review_band.low,
                calibrated.policy.review_band.high,
                calibrated.policy.ood_threshold,
                config.calibration.ood_percentile
            ),
        ),
        Err(why) => document.missing("Thresholds that the bundle carries", why),
    }
    document.item(
        "Periodic ECE",
        format_args!(
            "from labels that are fed back; `cxr-trainer recalibrate` writes the next version from at least {} labels of each class",
            config.calibration.recalibration_min_per_class
        ),
    );
    document.heading("Risk");
    document.item("Personal data", "a bundle holds weights, quantiles and phantoms; no image of a patient, no name. This report and its contact sheets hold images of the training data");
    document.item("Access, audit, incidents", "the service authenticates every call and writes every prediction to an append-only log; docs/ARCHITECTURE.md");
}
