//! Training: load the data and the network, then for each epoch train on batches, score the select fold with
//! the averaged weights, and save.

pub mod checkpoint;
pub mod curves;
pub mod loss;
pub mod mixup;
pub mod optimiser;
pub mod schedule;
pub mod score;
pub mod trained;

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::loader::Loader;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::files;
use crate::model::weights::encode;
use crate::model::{Network, Precision};
use crate::progress::{Meter, say};
use crate::run::RunDirectory;
use crate::run::device;
use crate::tracking::Tracker;
use crate::train::checkpoint::{EpochMetrics, Progress, State};
use crate::train::loss::WeightedLoss;
use crate::train::mixup::Mixup;
use crate::train::optimiser::{Optimiser, update_average};
use crate::train::schedule::{average_decay, learning_rate};
use crate::train::score::score;
use anyhow::{Context, Result, ensure};
use cxr::PreprocessSpec;
use std::sync::Arc;
use tch::{Device, Tensor};

/// Trains until the last epoch or until patience runs out, resuming from the checkpoint if there is one.
pub fn train(config: &Config, run: &RunDirectory, device: Device) -> Result<()> {
    train_to(config, run, device, config.training.epochs).map(drop)
}

/// Like [`train`], but stops after `last_epoch`. The learning rate still follows the whole training's
/// schedule.
pub fn train_to(config: &Config, run: &RunDirectory, device: Device, last_epoch: usize) -> Result<Progress> {
    let index = Index::of(config)?;
    Folds::forget_stale(run, &index)?;
    let _marked = run.training()?;
    let folds = Folds::frozen(&run.folds(), &index, config)?;
    let loader = loader(config, &index, &folds)?;
    let recipe = Recipe { acceptance: config.acceptance, preprocess: config.preprocess };
    let select = Pixels::of_fold(config, &index, &folds, Fold::Select, &recipe)?;
    let criterion = WeightedLoss::new(&loader.pixels.positive(), config.training.loss);
    let progress =
        Progress { config_sha256: config.digest()?, folds_sha256: folds.digest()?, history: Vec::new() };
    let mut state = initial_state(config, progress, loader.n_batches(), device)?;
    device::set_deterministic(config.training.deterministic, device)?;
    if run.checkpoint().exists() {
        state.resume(&run.checkpoint())?;
        say(format!("resuming after epoch {}", state.progress.epochs()));
    }
    let mut tracker = Tracker::training(config, run, &state.progress.history);
    let training = &config.training;
    while state.progress.epochs() < training.epochs.min(last_epoch)
        && state.progress.epochs_without_improvement(training.head_first_epochs) < training.patience
    {
        let mut metrics = train_epoch(config, &loader, &criterion, &mut state, device)?;
        let logits = score(&state.average, &select, device, "select")?.logits;
        let positive = select.positive();
        metrics.select_auc = cxr::analysis::scoring::roc::auc(&logits, &positive)
            .context("the select fold holds a single class")?;
        metrics.select_loss = criterion.fold_loss(&logits, &positive);
        state.progress.history.push(metrics);
        save_epoch(run, &state)?;
        tracker.epochs(&state.progress.history);
    }
    tracker.finish();
    let best = state.progress.best().context("no epoch was trained")?;
    let file = run.best_weights();
    let bytes = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
    say(format!("best epoch {} with select AUC {:.4}: {}", best.epoch, best.select_auc, file.display()));
    say(format!("weights digest {}", cxr::bundle::sha256_hex(&bytes)));
    Ok(state.progress)
}

fn train_epoch(
    config: &Config,
    loader: &Loader,
    criterion: &WeightedLoss,
    state: &mut State,
    device: Device,
) -> Result<EpochMetrics> {
    let training = &config.training;
    let (epoch, first_step) = (state.progress.epochs() + 1, state.progress.steps());
    let (n_batches, n_steps) = (loader.n_batches(), training.epochs * loader.n_batches());
    // Only dropout draws from libtorch's generator.
    tch::manual_seed((config.seed as i64).wrapping_mul(1_000_003).wrapping_add(epoch as i64));
    let depth = if epoch <= training.head_first_epochs { None } else { Some(config.model.freeze_depth) };
    state.network.freeze(depth)?;
    let mut mixup = Mixup::new(training.mixup_alpha, config.seed, epoch)?;
    let meter = Meter::new(format!("epoch {epoch}/{}", training.epochs), n_batches * training.batch_size);
    let (mut loss_sum, mut rate) = (0.0, 0.0);
    for (batch, step) in loader.epoch(epoch).zip(first_step..) {
        let batch = batch?;
        let (images, labels) = mixup.blend(batch.images(device)?, batch.labels(device));
        let (loss, rate_of_step) = train_step(config, criterion, state, (&images, &labels), (step, n_steps));
        rate = rate_of_step;
        ensure!(loss.is_finite(), "the loss is {loss} at step {step}: lower trainer.training.learning_rate");
        loss_sum += loss;
        meter.advance(batch.n_images(), || format!("loss {:.4}", loss_sum / (step - first_step + 1) as f64));
    }
    Ok(EpochMetrics {
        epoch,
        step: first_step + n_batches,
        train_loss: loss_sum / n_batches as f64,
        select_loss: f64::NAN,
        select_auc: f64::NAN,
        learning_rate: rate,
        images_per_second: meter.images_per_second(),
    })
}

/// Trains on one batch: float32 images `[N, 1, H, W]`, labels `[N, 1]`. Returns loss and learning rate.
pub(crate) fn train_step(
    config: &Config,
    criterion: &WeightedLoss,
    state: &mut State,
    (images, labels): (&Tensor, &Tensor),
    (step, n_steps): (usize, usize),
) -> (f64, f64) {
    let training = &config.training;
    let logits = state.network.logits(images, true);
    let loss = criterion.batch_loss(&logits, labels);
    state.optimiser.zero_grad();
    loss.backward();
    let rate = learning_rate(step, n_steps, training.learning_rate, training.warmup_fraction);
    state.optimiser.step(step, rate);
    let decay = average_decay(step, training.average_decay.unwrap_or(0.0));
    update_average(&state.average, &state.network, decay);
    (loss.double_value(&[]), rate)
}

/// Saves the best weights before the checkpoint, so that no checkpoint refers to weights that are missing.
fn save_epoch(run: &RunDirectory, state: &State) -> Result<()> {
    let history = &state.progress.history;
    let Some(last) = history.last() else { return Ok(()) };
    if state.progress.best().is_some_and(|best| best.epoch == last.epoch) {
        files::write_atomically(
            &run.best_weights(),
            &encode(&state.average.named_tensors(), weights_metadata(last)?)?,
        )?;
    }
    state.save(&run.checkpoint())?;
    files::write_atomically(&run.file("metrics.csv"), &curves::csv(history)?)?;
    let kept = state.progress.best().map(|best| best.epoch);
    files::write_atomically(&run.file("curves.svg"), curves::svg(history, kept)?.as_bytes())?;
    say(format!(
        "epoch {:>2}  train loss {:.4}  select loss {:.4}  select AUC {:.4}  {:.1} images/s",
        last.epoch, last.train_loss, last.select_loss, last.select_auc, last.images_per_second
    ));
    Ok(())
}

/// The metadata of the best weights. It leaves out the speed, which differs between runs with the same seed.
fn weights_metadata(epoch: &EpochMetrics) -> Result<String> {
    let mut metadata = serde_json::to_value(epoch)?;
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("images_per_second");
    }
    Ok(metadata.to_string())
}

pub(crate) fn loader(config: &Config, index: &Index, folds: &Folds) -> Result<Loader> {
    // CLAHE runs in the loader, after the augmentations: it is the last step in the service too.
    let preprocess = PreprocessSpec { clahe: None, ..config.preprocess };
    let recipe = Recipe { acceptance: config.acceptance, preprocess };
    let pixels = Arc::new(Pixels::of_fold(config, index, folds, Fold::Train, &recipe)?);
    let batch_size = config.training.batch_size;
    ensure!(
        pixels.len() >= batch_size,
        "the train fold's {} images do not fill a batch of {batch_size}",
        pixels.len()
    );
    Ok(Loader {
        pixels,
        augmentation: config.augmentation.clone(),
        clahe: config.preprocess.clahe,
        seed: config.seed,
        batch_size,
        workers: config.training.workers,
    })
}

pub(crate) fn initial_state(
    config: &Config,
    progress: Progress,
    n_batches: usize,
    device: Device,
) -> Result<State> {
    tch::manual_seed(config.seed as i64);
    let model = &config.model;
    let network = Network::new(model.architecture, model.dropout, config.training.precision, device);
    if let Some(file) = &model.weights {
        say(network.load_backbone(file).context("trainer.model.weights")?);
    }
    let average = Network::new(model.architecture, model.dropout, Precision::Fp32, device);
    update_average(&average, &network, 0.0);
    network.freeze(Some(model.freeze_depth))?;
    let training = &config.training;
    let optimiser = Optimiser::new(&network, training, training.head_first_epochs * n_batches);
    Ok(State { network, average, optimiser, progress })
}
