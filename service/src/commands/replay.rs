//! `cxr-service audit replay`: repeats a logged prediction.

use super::export::record_read;
use crate::config::values::Bounded;
use crate::config::{self, Sources};
use crate::infer::Sessions;
use crate::model::ServedModel;
use crate::record::hmac::SiteKey;
use crate::replay::{Replay, replay};
use crate::stdout;
use crate::store::Store;
use anyhow::{Context, ensure};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use uuid::Uuid;

/// Replays the row `id` on an image; the exit status is 0 if every result agrees, otherwise 1.
pub(super) fn run(
    sources: &Sources,
    id: Uuid,
    image: &Path,
    tolerance: f64,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (database, audit, mut config, limits) = config::load_replay(sources)?;
    let store_runtime = tokio::runtime::Runtime::new()?;
    let row = store_runtime.block_on(async {
        let store = Store::new(&database)?;
        let row = store.reader.prediction(id).await?;
        let read = json!({ "command": "audit replay", "id": id });
        record_read(&store, &read, Some(u64::from(row.is_some()))).await?;
        anyhow::Ok(row)
    })?;
    let row = row.with_context(|| format!("--id: no row {id}"))?;
    let bytes = std::fs::read(image).with_context(|| format!("{}: cannot be read", image.display()))?;
    ensure!(
        SiteKey::new(&audit.input_key).digest(&bytes).as_slice() == row.input_digest.0,
        "{}: its digest differs from the row's: the image is a different one, or service.audit.input_key has changed",
        image.display()
    );
    // As the row was executed, if this host can do the same.
    let then = |name: &str| row.execution.as_ref().and_then(|execution| execution.get(name));
    let threads = then("intra_threads").and_then(serde_json::Value::as_u64);
    config.intra_threads = threads.and_then(|n| Bounded::new(n).ok()).or(config.intra_threads);
    config.sessions = Bounded::new(1).ok();
    config.alone_threads = config.sessions;
    config.variant = row.variant.clone().or(config.variant);
    let model = ServedModel::open(&config)?;
    if let Some(digest) = &row.bundle_digest {
        ensure!(
            digest == model.bundle().digest(),
            "the row was answered by {} {} (digest {digest}), {} holds {} {}: set service.model.bundle to the row's bundle",
            row.model_name.as_deref().unwrap_or_default(),
            row.model_version.as_deref().unwrap_or_default(),
            config.bundle.display(),
            model.manifest().name,
            model.manifest().version,
        );
    }
    let mut sessions = Sessions::open(&config, &model).context("service.model")?;
    let replayed = replay(&row, &bytes, &limits, &model, &mut sessions, tolerance)?;
    print(&replayed, json)?;
    Ok(if replayed.agrees() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn print(replay: &Replay, json: bool) -> anyhow::Result<()> {
    if json {
        stdout::print(serde_json::to_string_pretty(replay)?);
        return Ok(());
    }
    stdout::print(if replay.same_execution {
        "executes as it did then: results must be equal bit for bit".to_owned()
    } else {
        format!("executes differently here: results may differ by {}", replay.tolerance)
    });
    for result in &replay.results {
        let sign = if result.agrees { "agrees " } else { "DIFFERS" };
        let (column, recorded, replayed) = (result.column, &result.recorded, &result.replayed);
        stdout::print(format_args!("{sign} {column}: recorded {recorded}, replayed {replayed}"));
    }
    stdout::print(if replay.agrees() {
        "the row matches the model"
    } else {
        "THE ROW DOES NOT MATCH THE MODEL"
    });
    Ok(())
}
