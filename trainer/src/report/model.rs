//! Section 3: network, training, tuning, curves.

use super::document::{Document, Found};
use super::sources::{Sources, Study};
use super::text::key;
use crate::config::training::LossKind;
use crate::data::folds::Fold;
use crate::model::Architecture;
use crate::soup::Soup;
use crate::tune::TuneFile;
use crate::tune::results::Ended;
use std::path::Path;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("3. Model");
    architecture(sources, document);
    training(sources, document);
    match &sources.study {
        Ok(study) => tuning(sources, study, document),
        Err(why) => {
            document.heading("Tuning");
            document.missing("Search", why);
        }
    }
    curves(sources, document);
    speed(sources, document);
}

fn architecture(sources: &Sources, document: &mut Document) {
    let model = &sources.config().model;
    document.heading("Architecture");
    document.item("Network", key(&model.architecture));
    let is_mobilenet =
        matches!(model.architecture, Architecture::MobileNetV2 | Architecture::MobileNetV2Expanded);
    document.item(
        "Why",
        if is_mobilenet {
            "MobileNetV2 serves hosts without a GPU; ResNet-50, DenseNet-121 and EfficientNet-B0 train and export in the same way"
        } else {
            "chosen in the configuration (model.architecture)"
        },
    );
    let file = model.weights.as_deref().map(name);
    document.item("Pretraining", sources.config().provenance.of_weights(file.as_deref()));
    document.item(
        "Modifications",
        format_args!(
            "one output (the logit of the positive class) on the pooled features, dropout {} before it, {} stages frozen; the graph also gives \
             the embedding and the class activation map",
            model.dropout, model.freeze_depth
        ),
    );
}

fn training(sources: &Sources, document: &mut Document) {
    let t = &sources.config().training;
    document.heading("Training");
    let loss = match t.loss.kind {
        LossKind::Focal => format!("focal with exponent {}, weighted by class", t.loss.focal_gamma),
        LossKind::WeightedCrossEntropy => "cross-entropy weighted by class".to_owned(),
    };
    document.item("Loss", format_args!("{loss}, labels smoothed by {}", t.loss.label_smoothing));
    document.item(
        "Optimiser",
        format_args!(
            "{}, learning rate {:e} (one cycle, {:.0} % warm-up, cosine down), weight decay {}",
            key(&t.optimiser),
            t.learning_rate,
            t.warmup_fraction * 100.0,
            t.weight_decay
        ),
    );
    document.item(
        "Regularisation",
        format_args!(
            "dropout {}, weight decay {}, gradient norm up to {}, average of the weights with decay {}, mixup alpha {}, learning rate by stage times {}, {} epochs with the classifier alone",
            sources.config().model.dropout,
            t.weight_decay,
            t.gradient_norm.map_or("unlimited".to_owned(), |n| n.to_string()),
            t.average_decay.map_or("off".to_owned(), |d| d.to_string()),
            t.mixup_alpha,
            t.layer_decay,
            t.head_first_epochs
        ),
    );
    document.item(
        "Batches and epochs",
        format_args!(
            "batch {}, at most {} epochs, stopped after {} without a better one (select AUC, then select loss, to three decimals); precision {} in training, float32 afterwards",
            t.batch_size,
            t.epochs,
            t.patience,
            key(&t.precision)
        ),
    );
    if let Some(soup) = &sources.soup {
        return mean_of_runs(soup, document);
    }
    let e = &sources.trained.epoch;
    document.item(
        "Best epoch",
        format_args!(
            "{}: select AUC {:.4}, select loss {:.4}, train loss {:.4}",
            e.epoch, e.select_auc, e.select_loss, e.train_loss
        ),
    );
}

fn mean_of_runs(soup: &Soup, document: &mut Document) {
    let kept = soup.ingredients.iter().filter(|tried| tried.kept).count();
    document.paragraph(format_args!(
        "The weights are the mean of {kept} of {} runs that began from the same weights (greedy soup, Wortsman et al. 2022); batch \
         statistics {}, {} augmented copies of select judged beside it, step towards the pretrained backbone {}:",
        soup.ingredients.len(),
        key(&soup.statistics),
        soup.augmented_copies,
        soup.towards_pretrained.as_ref().map_or("none".to_owned(), |step| step.share.to_string())
    ));
    document.table(
        ["run", "select loss alone", "select AUC alone", "select loss with it", "kept"],
        soup.ingredients.iter().map(|tried| {
            [
                name(&tried.run),
                format!("{:.4}", tried.alone.select_loss),
                format!("{:.4}", tried.alone.select_auc),
                format!("{:.4}", tried.with_it.select_loss),
                if tried.kept { "yes" } else { "no" }.to_owned(),
            ]
        }),
    );
    document.item(
        "Result",
        format_args!("select AUC {:.4}, select loss {:.4}", soup.result.select_auc, soup.result.select_loss),
    );
}

fn tuning(sources: &Sources, study: &Study, document: &mut Document) {
    let Study { folder, file } = study;
    document.heading("Tuning");
    document.item(
        "Search strategy",
        format_args!(
            "ASHA (Li et al. 2020), rungs at {:?} epochs, one of {} goes on; configurations by {} after {} quasi-random ones; ranked by {}",
            file.definition.rungs,
            file.definition.reduction_factor,
            key(&file.definition.sampler),
            file.definition.startup_trials,
            key(&file.definition.objective)
        ),
    );
    document.item(
        "Parameters",
        super::text::counts(
            file.definition.space.iter().map(|(name, range)| (format!("`{name}`"), key(range))),
        ),
    );
    let ended = match file.ended {
        Some(Ended::Complete) => "complete",
        Some(Ended::OutOfBudget) => "out of budget",
        None => "unfinished",
    };
    document.item(
        "Number of experiments",
        format_args!(
            "{} trials, {:.2} of {:.2} processor hours, {ended}",
            file.trials.len(),
            file.spent_cpu_hours,
            file.budget_cpu_hours
        ),
    );
    match &file.best {
        Some(best) => document.item(
            "Best configuration",
            format_args!(
                "trial {}, the best of {} that reached {} epochs: {}; select loss {:.4}, select AUC {:.4}",
                best.trial,
                best.n_compared,
                best.epochs,
                super::text::counts(best.parameters.iter().map(|(name, value)| (format!("`{name}`"), value))),
                best.select_loss,
                best.select_auc
            ),
        ),
        None => document.missing("Best configuration", "no trial has reached a rung"),
    }
    document.item("Used in this run", used(sources, file));
    document.figure(
        &folder.join("figures/tune.svg"),
        "Trials: select loss by epoch, and every parameter against the objective",
    );
}

/// Whether the run was trained with the best configuration.
fn used(sources: &Sources, file: &TuneFile) -> String {
    let part = serde_json::to_value(sources.config().training_part()).unwrap_or_default();
    let drawn = file.best.iter().flat_map(|best| &best.parameters);
    let others: Vec<String> = drawn
        .filter_map(|(key, value)| {
            let here = part.pointer(&format!("/{}", key.replace('.', "/")))?;
            (here.as_f64() != value.as_f64()).then(|| format!("`{key}` {here}"))
        })
        .collect();
    if others.is_empty() { "yes".to_owned() } else { format!("no: {}", others.join(", ")) }
}

fn curves(sources: &Sources, document: &mut Document) {
    document.heading("Curves");
    match history(&sources.trained.run.file("metrics.csv")) {
        Ok(rows) => {
            document
                .table(["epoch", "train loss, augmented", "select loss", "select AUC"], rows.iter().cloned());
            document.figure(
                &sources.trained.run.file("curves.svg"),
                "Losses and select AUC by epoch; dashed: the epoch whose weights are kept",
            );
            document.found("Convergence", &convergence(&rows));
        }
        Err(why) => document.missing("Curves", &why),
    }
    document.found("Generalisation gap", &generalisation(sources));
}

/// Where the select loss was smallest, and what it did then.
fn convergence(rows: &[[String; 4]]) -> Found<String> {
    let losses: Vec<f64> = rows.iter().filter_map(|row| row[2].parse().ok()).collect();
    let smallest = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    let ((at, smallest), last) = smallest.zip(losses.last()).ok_or("no epoch was completed")?;
    let then = if at + 1 == losses.len() {
        "it was still falling at the end".to_owned()
    } else {
        format!("it ended at {last:.4}")
    };
    Ok(format!("smallest select loss {smallest:.4} in epoch {} of {}; {then}", at + 1, losses.len()))
}

/// How much is lost from the images that chose the epoch to those that chose nothing.
fn generalisation(sources: &Sources) -> Found<String> {
    let (select, test) = (sources.evaluation(Fold::Select)?, sources.evaluation(Fold::Test)?);
    let (select, test) = (select.figures.auc.value, test.figures.auc.value);
    Ok(format!(
        "AUC on select minus AUC on the test fold {:+.4}; the train loss is on augmented images and no measure of it",
        select - test
    ))
}

/// Rows of `metrics.csv`: epoch, train loss, select loss, select AUC.
fn history(file: &Path) -> Found<Vec<[String; 4]>> {
    let text = std::fs::read_to_string(file).map_err(|_| {
        "the run was not trained epoch by epoch (a mean of runs has no curve of its own)".to_owned()
    })?;
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    Ok(rows
        .filter_map(|cells| match cells[..] {
            [epoch, _, train, select, auc, ..] => Some([epoch, train, select, auc].map(str::to_owned)),
            _ => None,
        })
        .collect())
}

fn speed(sources: &Sources, document: &mut Document) {
    document.heading("Speed of training");
    match &sources.bench {
        Ok(bench) => {
            let t = &bench.throughput;
            document.item(
                "Full step against the step without data path",
                format_args!(
                    "{:.1} and {:.1} images/s, ratio {:.3} [quartiles {:.3} to {:.3}] over {} rounds; {}, {} on {}, {} threads, batch {}, {}",
                    t.full.median,
                    t.bare.median,
                    t.ratio.median,
                    t.ratio.quartiles[0],
                    t.ratio.quartiles[1],
                    t.rounds.len(),
                    bench.environment.processor,
                    key(&bench.architecture),
                    bench.device,
                    bench.environment.compute_threads,
                    bench.batch_size,
                    key(&bench.precision),
                ),
            );
            match &bench.memory {
                Some(memory) => document.item(
                    "Host memory above a bare step",
                    format_args!(
                        "{:.0} MB with a folder of {} images ({})",
                        memory.above_bare_bytes as f64 / 1e6,
                        memory.n_images,
                        memory.data
                    ),
                ),
                None => document
                    .missing("Host memory above a bare step", "`cxr-trainer bench` was told to leave it out"),
            }
        }
        Err(why) => document.missing("Throughput and memory", why),
    }
    match &sources.peer {
        Ok(peer) => document.item(
            "Against the same training in PyTorch",
            format_args!(
                "{:.1} against {:.1} images/s, ratio {:.2} [quartiles {:.2} to {:.2}] over {} rounds, {} threads",
                peer.trainer.median,
                peer.pytorch.median,
                peer.ratio.median,
                peer.ratio.quartiles[0],
                peer.ratio.quartiles[1],
                peer.rounds.len(),
                peer.threads,
            ),
        ),
        Err(why) => document.missing("Against the same training in PyTorch", why),
    }
    match &sources.bench {
        Ok(bench) if bench.device == "cpu" => document.missing(
            "On a GPU",
            "the figures on file are a CPU's; `cxr-trainer bench --device cuda` measures it",
        ),
        Ok(_) => {}
        Err(why) => document.missing("On a GPU", why),
    }
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
