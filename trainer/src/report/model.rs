//! Section 3: network, training, tuning, curves.

use super::document::{Document, Found};
use super::sources::{Sources, Study};
use super::text::key;
use crate::config::training::LossKind;
use crate::tune::results::Ended;
use std::path::Path;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("3. Model");
    architecture(sources, document);
    training(sources, document);
    match &sources.study {
        Ok(study) => tuning(study, document),
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
    document.item(
        "Why",
        "MobileNetV2 is the network for hosts without a GPU, and the only one whose ImageNet weights were at hand; ResNet-50, \
         DenseNet-121 and EfficientNet-B0 train and export with `model.architecture`, from scratch until weights are given",
    );
    match &model.weights {
        Some(file) => document.item("Pretraining", format_args!("ImageNet, `{}`", name(file))),
        None => document.item("Pretraining", "none: from scratch"),
    }
    document.item(
        "Modifications",
        format_args!(
            "one output (the logit of pneumonia) on the pooled features, dropout {} before it, {} stages frozen; the graph also gives \
             the embedding and the class activation map",
            model.dropout, model.freeze_depth
        ),
    );
}

fn training(sources: &Sources, document: &mut Document) {
    let t = &sources.config().training;
    document.heading("Training");
    let loss = match t.loss.kind {
        LossKind::Focal => format!("focal with exponent {}", t.loss.focal_gamma),
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
            "dropout {}, weight decay {}, gradient norm up to {}, average of the weights with decay {}, mixup alpha {}",
            sources.config().model.dropout,
            t.weight_decay,
            t.gradient_norm.map_or("unlimited".to_owned(), |n| n.to_string()),
            t.average_decay.map_or("off".to_owned(), |d| d.to_string()),
            t.mixup_alpha
        ),
    );
    document.item(
        "Batches and epochs",
        format_args!(
            "batch {}, at most {} epochs, stopped after {} without a better select AUC; precision {} in training, float32 afterwards",
            t.batch_size,
            t.epochs,
            t.patience,
            key(&t.precision)
        ),
    );
    let e = &sources.trained.epoch;
    document.item(
        "Best epoch",
        format_args!(
            "{}: select AUC {:.4}, select loss {:.4}, train loss {:.4}",
            e.epoch, e.select_auc, e.select_loss, e.train_loss
        ),
    );
    if let Some(soup) = &sources.soup {
        let kept = soup.ingredients.iter().filter(|tried| tried.kept).count();
        document.paragraph(format_args!(
            "The weights are the mean of {kept} of {} runs that began from the same weights (greedy soup, Wortsman et al. 2022):",
            soup.ingredients.len()
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
    }
}

fn tuning(study: &Study, document: &mut Document) {
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
                "trial {} of {} that reached {} epochs: {}; select loss {:.4}, select AUC {:.4}",
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
    document.figure(
        &folder.join("figures/tune.svg"),
        "Trials: select loss by epoch, and every parameter against the objective",
    );
}

fn curves(sources: &Sources, document: &mut Document) {
    document.heading("Curves");
    match history(&sources.trained.run.file("metrics.csv")) {
        Ok(rows) => {
            document
                .table(["epoch", "train loss, augmented", "select loss", "select AUC"], rows.iter().cloned());
            document.figure(&sources.trained.run.file("curves.svg"), "Losses and select AUC by epoch");
            let gap = sources.trained.epoch.select_loss - sources.trained.epoch.train_loss;
            document.item(
                "Generalisation gap",
                format_args!(
                    "select loss minus train loss {gap:+.4} at the best epoch; the train loss is on augmented images with dropout and \
                     smoothed labels, the select loss on clean ones: {}",
                    if gap > 0.0 { "the network has begun to fit the train fold more closely than the select fold" } else { "no sign of overfitting" }
                ),
            );
        }
        Err(why) => document.missing("Curves", &why),
    }
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
                    "{:.1} and {:.1} images/s, ratio {:.3} [quartiles {:.3} to {:.3}] over {} rounds; {} threads, batch {}, {}, {}",
                    t.full.median,
                    t.bare.median,
                    t.ratio.median,
                    t.ratio.quartiles[0],
                    t.ratio.quartiles[1],
                    t.rounds.len(),
                    bench.environment.compute_threads,
                    bench.batch_size,
                    key(&bench.precision),
                    bench.environment.processor,
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
                peer["trainer"]["median"].as_f64().unwrap_or(f64::NAN),
                peer["peer"]["median"].as_f64().unwrap_or(f64::NAN),
                peer["ratio"]["median"].as_f64().unwrap_or(f64::NAN),
                peer["ratio"]["quartiles"][0].as_f64().unwrap_or(f64::NAN),
                peer["ratio"]["quartiles"][1].as_f64().unwrap_or(f64::NAN),
                peer["rounds"].as_array().map_or(0, Vec::len),
                peer["threads"],
            ),
        ),
        Err(why) => document.missing("Against the same training in PyTorch", why),
    }
    document.missing("On a GPU", "no run on a GPU is on file; `cxr-trainer bench --device cuda` measures it");
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
