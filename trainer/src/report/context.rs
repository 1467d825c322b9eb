//! The values for the report's templates: the results on file, and what is derived from them.

mod data;
mod evaluation;
mod robustness;

use super::sources::{MetricsRow, Sources};
use crate::config::Config;
use crate::config::provenance::{NOT_STATED, stated};
use crate::data::census::Census;
use crate::fitness::{Fitness, RELEASED_ANYWAY};
use crate::measure::evaluate::{ECE_NOTE, PLUG_IN_ECE_NOTE, named_groups};
use crate::model::{IMAGENET_DEVIATION, IMAGENET_MEAN};
use crate::tune::TuneFile;
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value, merge_maps};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The report warns of an image set if the interval of its AUC begins below this.
const USABLE_AUC: f64 = 0.7;

/// Results by name. A missing one is `none`, with the reason in `missing`.
#[derive(Default)]
struct Results {
    known: BTreeMap<&'static str, Value>,
    missing: BTreeMap<&'static str, String>,
}

impl Results {
    fn add(&mut self, name: &'static str, found: Result<impl Serialize, impl Into<String>>) {
        let value = match found {
            Ok(found) => Value::from(Serde(found)),
            Err(why) => {
                self.missing.insert(name, why.into());
                Value::from(())
            }
        };
        self.known.insert(name, value);
    }
}

pub(super) fn of(sources: &Sources) -> Result<Value> {
    let (config, trained) = (sources.config(), sources.trained);
    let mut results = Results::default();
    results.add("environment", sources.environment.as_ref());
    results.add("eda", sources.eda.as_ref());
    results.add("split", sources.split.as_ref());
    results.add("study", sources.study.as_ref().map(|study| &study.file));
    results.add("calibrated", sources.calibrated.as_ref());
    results.add("explanation", sources.explanation.as_ref());
    results.add("ablation", sources.ablation.as_ref());
    results.add("consistency", sources.consistency.as_ref());
    results.add("benchmark", sources.benchmark.as_ref());
    results.add("peer", sources.peer.as_ref());
    results.add("release", sources.release.as_ref());
    results.add("gates", sources.fitness.as_ref().map(gates));
    results.add("epochs", sources.epochs.as_ref());
    evaluation::add(sources, &mut results);
    robustness::add(sources, &mut results);

    let (fitness, study) = (sources.fitness.as_ref(), sources.study.as_ref().ok());
    let groups = sources.groups();
    let deep = sources.consistency.as_ref().ok().and_then(|found| found.deep.as_ref());
    let weights = config.model.weights.as_ref().and_then(|file| file.file_name());
    let weights = weights.map(|name| name.to_string_lossy().into_owned());
    let statements = context! {
        config => Serde(config),
        run => trained.run.name(),
        verdict => fitness.map_or_else(|why| format!("Not shown to be fit: {why}."), Fitness::sentence),
        released_although => fitness.ok().and_then(|fitness| fitness.released_although.as_ref()),
        released_anyway => RELEASED_ANYWAY,
        not_stated => NOT_STATED,
        ece_note => ECE_NOTE,
        plug_in_ece_note => PLUG_IN_ECE_NOTE,
        unused_parameters => study.map(|study| unused_parameters(sources, &study.file)).unwrap_or_default(),
        convergence => Serde(sources.epochs.as_ref().ok().and_then(|epochs| convergence(epochs))),
        usable_auc => USABLE_AUC,
        provenance => Serde(config.provenance.of_data()),
        originals => stated(config.provenance.originals.as_ref()),
        pretraining => config.provenance.of_weights(weights.as_deref()),
        test_name => sources.census.test_name(),
        test_is_drawn => sources.census.test_is_drawn,
        census_header => Serde(Census::HEADER),
        census_rows => Serde(sources.census.rows()),
        looks => Serde(&sources.looks),
        looks_at_these_weights => looks_at_these_weights(sources),
        weights_sha256 => &trained.weights_sha256,
        config_sha256 => config.digest()?,
        served => Serde(config.served_preprocess()),
        // As text: a 32-bit number has more decimals in 64 bits.
        imagenet_mean => Serde(IMAGENET_MEAN.map(|level| level.to_string())),
        imagenet_deviation => Serde(IMAGENET_DEVIATION.map(|level| level.to_string())),
        epoch => Serde(&trained.epoch),
        deep => deep.map(ToString::to_string),
        unnamed_groups => named_groups::unnamed(&groups),
        groups => Serde(groups),
        training_yaml => without_blanks(serde_yaml_ng::to_value(config.training_part())?)?,
        measuring_yaml => serde_yaml_ng::to_string(&measuring(config))?.trim_end(),
    };
    let Results { known, missing } = results;
    let known = context! { missing => Serde(missing), ..Value::from(known) };
    Ok(merge_maps([statements, data::of(sources), known]))
}

fn gates(fitness: &Fitness) -> serde_json::Value {
    json!({
        "header": Fitness::HEADER,
        "rows": fitness.rows(),
        "notes": fitness.notes(),
        "missing_data": fitness.missing_data(),
    })
}

fn looks_at_these_weights(sources: &Sources) -> String {
    let weights = &sources.trained.weights_sha256;
    match sources.looks.iter().filter(|look| look.weights_sha256 == *weights).count() {
        1 => "1 look".to_owned(),
        n => format!("{n} looks"),
    }
}

/// The training part as YAML, without the keys that a run leaves blank.
fn without_blanks(mut training: serde_yaml_ng::Value) -> Result<String> {
    for (section, keys) in
        [("data", &["root", "cache", "name", "max_unreadable_share"][..]), ("training", &["workers"])]
    {
        let section = training.get_mut(section).and_then(serde_yaml_ng::Value::as_mapping_mut);
        if let Some(section) = section {
            section.retain(|key, _| !key.as_str().is_some_and(|key| keys.contains(&key)));
        }
    }
    Ok(serde_yaml_ng::to_string(&training)?.trim_end().to_owned())
}

/// The keys on which the weights do not depend, without paths of this machine.
fn measuring(config: &Config) -> serde_json::Value {
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

/// Parameters with another value than in the study's best configuration, as `key value`.
fn unused_parameters(sources: &Sources, file: &TuneFile) -> Vec<String> {
    let part = serde_json::to_value(sources.config().training_part()).unwrap_or_default();
    let drawn = file.best.iter().flat_map(|best| &best.parameters);
    let others = drawn.filter_map(|(key, value)| {
        let here = part.pointer(&format!("/{}", key.replace('.', "/")))?;
        (here.as_f64() != value.as_f64()).then(|| format!("`{key}` {here}"))
    });
    others.collect()
}

/// The smallest and the last loss on select.
fn convergence(epochs: &[MetricsRow]) -> Option<serde_json::Value> {
    let losses: Vec<f64> = epochs.iter().filter_map(|epoch| epoch.select_loss.parse().ok()).collect();
    let (at, smallest) = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(json!({ "smallest": smallest, "epoch": at + 1, "n": losses.len(), "last": losses.last()? }))
}

#[cfg(test)]
mod tests {
    use super::without_blanks;

    #[test]
    fn blank_keys_are_not_shown() {
        let part = "seed: 42\ndata:\n  root: ''\n  cache: null\n  name: ''\n  layout: flat\n  max_unreadable_share: 0.0\ntraining:\n  epochs: 3\n  workers: 0\n";
        let shown = without_blanks(serde_yaml_ng::from_str(part).unwrap()).unwrap();
        assert_eq!(shown, "seed: 42\ndata:\n  layout: flat\ntraining:\n  epochs: 3");
    }
}
