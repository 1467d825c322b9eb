//! Section 7: the bundle, the interface, monitoring, risk.

use super::document::Document;
use super::sources::Sources;
use super::text::key;
use crate::release::Release;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("7. Deployment");
    packaging(sources, document);
    document.heading("Inference");
    document.item(
        "Interface",
        "`POST /v1/predictions`: an encoded image in, probability, verdict, review reasons and audit identifier out; \
         `POST /v1/predictions/{id}/labels`: the truth about it, stated later (docs/API.md, openapi/openapi.json)",
    );
    document.missing(
        "Load test, latency, throughput, failover",
        "they are properties of the service on its host, which a training run does not start",
    );
    monitoring(sources, document);
    document.heading("Risk");
    document.item(
        "Personal data",
        "the bundle holds weights, quantiles, phantoms and this text, and no image of a patient; an illustrated report also shows \
         images of the dataset",
    );
    document.item(
        "Access control and audit trail",
        "the service wants a token for every prediction and commits it to an append-only table before it answers \
         (docs/ARCHITECTURE.md)",
    );
    document.missing("Incident response", "the site's own procedure is not part of a training run; what to do at which error is in docs/ERRORS.md");
}

fn packaging(sources: &Sources, document: &mut Document) {
    let config = sources.config();
    document.heading("Packaging");
    document.item(
        "Bundle",
        format_args!(
            "ONNX graph, manifest, drift reference, golden outputs, model card and this report under one Ed25519 signature, {} bytes \
             at most",
            config.export.max_bytes
        ),
    );
    match &sources.release {
        Ok(release) => released(release, document),
        Err(why) => {
            document.missing("Released", why);
            document.item(
                "Goes out as",
                format_args!(
                    "{}, registered as {} with alias {}",
                    config.export.name, config.tracking.registered_model, config.tracking.alias
                ),
            );
        }
    }
}

fn released(release: &Release, document: &mut Document) {
    document.item(
        "Released",
        format_args!(
            "{} {}, {} bytes, digest `{}`, signed by {}",
            release.name, release.version, release.n_bytes, release.bundle_sha256, release.signed_by
        ),
    );
    document.table(
        ["check", "outcome"],
        release.verification.checks.iter().map(|check| [check.name.clone(), key(&check.outcome)]),
    );
    let registration = &release.registration;
    document.item(
        "Model registry (MLflow)",
        format_args!(
            "{}: version {}, alias {}, in {}",
            registration.model,
            registration.number.as_deref().unwrap_or("waiting to be sent"),
            registration.alias,
            if registration.target.contains("://") { "an MLflow server" } else { "the local file store" }
        ),
    );
}

fn monitoring(sources: &Sources, document: &mut Document) {
    document.heading("Monitoring");
    document.missing(
        "Drift tests, rolling metrics, alert thresholds",
        "the service logs the statistics, embedding coordinates and score of every image; a training run starts no service that \
         would compare them with reference.json",
    );
    match &sources.calibrated {
        Ok(calibrated) => document.item(
            "Thresholds that the bundle carries",
            format_args!(
                "operating point {:.4}, review band {:.4} to {:.4}, out-of-distribution score {:.3}",
                calibrated.policy.threshold,
                calibrated.policy.review_band.low,
                calibrated.policy.review_band.high,
                calibrated.policy.ood_threshold
            ),
        ),
        Err(why) => document.missing("Thresholds that the bundle carries", why),
    }
    document.missing(
        "Periodic ECE",
        &format!(
            "it wants labels of images that the service has answered (`POST /v1/predictions/{{id}}/labels`); `cxr-trainer recalibrate` \
             measures it on the labelled predictions of the log, at least {} of each class",
            sources.config().calibration.recalibration_min_per_class
        ),
    );
}
