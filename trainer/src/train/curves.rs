//! The metrics of every epoch as CSV and as curves.

use crate::figures::{Along, Axes, Form, Series, charts, span};
use crate::files;
use crate::train::checkpoint::EpochMetrics;
use anyhow::Result;

pub fn csv(history: &[EpochMetrics]) -> Result<Vec<u8>> {
    let row = |e: &EpochMetrics| {
        [
            e.epoch.to_string(),
            e.step.to_string(),
            format!("{:.6}", e.train_loss),
            format!("{:.6}", e.select_loss),
            format!("{:.6}", e.select_auc),
            format!("{:.3e}", e.learning_rate),
            format!("{:.2}", e.images_per_second),
        ]
    };
    let header =
        ["epoch", "step", "train_loss", "select_loss", "select_auc", "learning_rate", "images_per_second"];
    files::csv(header, history.iter().map(row))
}

/// Losses on the left, AUC on the right, both with the epoch whose weights are kept.
pub fn svg(history: &[EpochMetrics], kept: Option<usize>) -> Result<String> {
    let curve = |name: &str, value: fn(&EpochMetrics) -> f64| {
        Series::new(name, history.iter().map(|e| (e.epoch as f64, value(e))).collect(), Form::Marks)
    };
    let mut losses =
        vec![curve("select fold", |e| e.select_loss), curve("train fold, augmented", |e| e.train_loss)];
    let mut aucs = vec![curve("select fold", |e| e.select_auc)];
    let [loss_range, auc_range] = [&mut losses, &mut aucs].map(|series| {
        let range = span(series.iter().flat_map(|series| &series.points).map(|point| point.1));
        if let Some(epoch) = kept {
            let ends = [range.start, range.end].map(|y| (epoch as f64, y));
            series.push(Series::new(format!("kept: epoch {epoch}"), ends.to_vec(), Form::Dashes));
        }
        range
    });
    let epochs = 0.5..history.len().max(2) as f64 + 0.5;
    let axes = |title, y| Axes { title, x: "epoch", y, along: Along::Whole };
    charts(&[
        (axes("Loss by epoch", "loss"), (epochs.clone(), loss_range), &losses),
        (axes("Area under the ROC curve by epoch", "AUC"), (epochs, auc_range), &aucs),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_counts_whole_epochs_and_the_kept_one_is_marked() {
        let history = [1, 2, 3].map(|epoch| EpochMetrics {
            epoch,
            train_loss: 1.0 / epoch as f64,
            select_loss: 1.1 / epoch as f64,
            select_auc: 0.6 + 0.1 * epoch as f64,
            ..Default::default()
        });
        let drawn = svg(&history, Some(2)).unwrap();
        assert!(drawn.contains("kept: epoch 2") && drawn.contains("train fold, augmented"), "{drawn}");
        let texts: Vec<&str> = drawn.split(['<', '>']).map(str::trim).collect();
        assert!(texts.contains(&"3") && !texts.contains(&"1.5"), "{texts:?}");
        assert!(svg(&[], None).is_ok(), "an empty history is not an error");
    }
}
