//! Figures of one fold as SVG.

use super::details::CalibrationDetails;
use crate::figures::{self, Along, Axes, Form, Series};
use crate::run::RunDirectory;
use anyhow::Result;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::precision_recall;
use cxr::analysis::scoring::roc::RocCurve;
use cxr::reference::CalibrationBin;

const BARS: usize = 40;

/// Writes `roc-pr-NAME.svg`, `reliability-NAME.svg` and `probabilities-NAME.svg` into the run's figures.
pub fn write(
    run: &RunDirectory,
    name: &str,
    (probabilities, positive): (&[f64], &[bool]),
    threshold: f64,
    calibration: &CalibrationDetails,
) -> Result<()> {
    let figure = |form: &str, svg: String| run.write_figure(&format!("{form}-{name}.svg"), svg);
    figure("roc-pr", curves(name, probabilities, positive, threshold)?)?;
    figure("reliability", reliability(name, &calibration.bins_before, &calibration.bins_after)?)?;
    figure("probabilities", histogram(name, probabilities, positive, threshold)?)
}

/// ROC and precision-recall side by side, with the operating point on both.
pub fn curves(name: &str, probabilities: &[f64], positive: &[bool], threshold: f64) -> Result<String> {
    let roc = RocCurve::new(probabilities, positive);
    let area = labelled("AUC", roc.as_ref().map(RocCurve::auc));
    let roc =
        roc.iter().flat_map(RocCurve::points).map(|point| (point.false_positive_rate, point.sensitivity));
    let average = labelled("average precision", precision_recall::average_precision(probabilities, positive));
    let precision = precision_recall::curve(probabilities, positive).unwrap_or_default();
    let precision = precision.into_iter().map(|point| (point.recall, point.precision));
    let base_rate = positive.iter().filter(|y| **y).count() as f64 / positive.len().max(1) as f64;
    let confusion = ConfusionMatrix::at(probabilities, positive, threshold);
    let point = |at: Option<(f64, f64)>| {
        let name = format!("operating point ({threshold:.4})");
        Series::new(name, at.into_iter().collect(), Form::Points)
    };
    let at_roc = confusion.specificity().map(|specificity| 1.0 - specificity).zip(confusion.sensitivity());
    let at_precision = confusion.sensitivity().zip(confusion.precision());
    let (left, right) = (format!("ROC, {name}: {area}"), format!("Precision and recall, {name}: {average}"));
    // The margin keeps points in a corner whole.
    let range = || (-0.02..1.02, -0.02..1.02);
    let roc = [
        Series::line("all thresholds", roc.collect()),
        point(at_roc),
        Series::new("chance", vec![(0.0, 0.0), (1.0, 1.0)], Form::Dashes),
    ];
    let precision = [
        Series::line("all thresholds", precision.collect()),
        point(at_precision),
        Series::new("chance: share of positives", vec![(0.0, base_rate), (1.0, base_rate)], Form::Dashes),
    ];
    figures::charts(&[
        (axes(&left, "1 - specificity", "sensitivity"), range(), &roc),
        (axes(&right, "recall", "precision"), range(), &precision),
    ])
}

const fn axes<'a>(title: &'a str, x: &'a str, y: &'a str) -> Axes<'a> {
    Axes { title, x, y, along: Along::Numbers }
}

/// The value is `None` if a class is missing.
fn labelled(name: &str, value: Option<f64>) -> String {
    value.map_or_else(|| format!("{name} not measured"), |value| format!("{name} {value:.3}"))
}

/// Reliability before and after calibration, with the number of images in each bin.
pub fn reliability(name: &str, before: &[CalibrationBin], after: &[CalibrationBin]) -> Result<String> {
    let of = |label: &str, bins: &[CalibrationBin]| {
        let filled = || bins.iter().filter(|bin| bin.n > 0);
        let points = filled().map(|bin| (bin.mean_probability, bin.positive_rate)).collect();
        Series::new(label, points, Form::Marks).noted(filled().map(|bin| bin.n.to_string()).collect())
    };
    let series = [
        of("before calibration", before),
        of("after", after),
        Series::new("perfect calibration", vec![(0.0, 0.0), (1.0, 1.0)], Form::Dashes),
    ];
    let title = format!("Reliability, {name}: images of each bin above its mark");
    let axes = axes(&title, "mean probability of the positive class", "share of positives");
    // The upper margin holds the numbers of marks at 1.
    figures::chart(&axes, (-0.02..1.02, -0.02..1.08), &series)
}

pub fn histogram(name: &str, probabilities: &[f64], positive: &[bool], threshold: f64) -> Result<String> {
    let of = |class: bool, label: &str| {
        let pairs = probabilities.iter().zip(positive).filter(|(_, y)| **y == class);
        let values: Vec<f64> = pairs.map(|(p, _)| *p).collect();
        Series::histogram(format!("{label} ({} images)", values.len()), &values, &(0.0..1.0), BARS)
    };
    let mut series = vec![of(false, "negative"), of(true, "positive")];
    let top = figures::top(&series);
    let label = format!("operating point ({threshold:.4})");
    series.push(Series::new(label, vec![(threshold, 0.0), (threshold, top)], Form::Dashes));
    let title = format!("Calibrated probability by class, {name}");
    let axes = axes(&title, "probability of the positive class", "share of the images of the class");
    figures::chart(&axes, (0.0..1.0, 0.0..top), &series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_state_their_areas_operating_point_and_counts_and_name_no_disease() {
        let (probabilities, positive) = ([0.1, 0.4, 0.6, 0.9], [false, true, false, true]);
        let curves = curves("test", &probabilities, &positive, 0.5).unwrap();
        let histogram = histogram("test", &probabilities, &positive, 0.5).unwrap();
        let bin = CalibrationBin { low: 0.0, high: 1.0, n: 37, mean_probability: 0.4, positive_rate: 0.5 };
        let reliability = reliability("test", &[bin], &[bin]).unwrap();
        assert!(curves.contains("ROC, test: AUC 0.750") && curves.contains("operating point (0.5000)"));
        assert!(histogram.contains("negative (2 images)") && histogram.contains("positive (2 images)"));
        assert_eq!(reliability.matches("\n37\n").count(), 2, "{reliability}");
        for figure in [curves, histogram, reliability] {
            assert!(!figure.contains("pneumonia") && !figure.contains("normal"), "{figure}");
        }
    }
}
