//! Figures of one fold as SVG: curves, reliability before and after calibration, probabilities by class.

use super::details::CalibrationDetails;
use crate::figures::{self, Axes, Form, Series};
use crate::files;
use crate::run::RunDirectory;
use anyhow::Result;
use cxr::reference::CalibrationBin;
use cxr::scoring::precision_recall;
use cxr::scoring::roc::RocCurve;

/// Bars of a histogram.
const BARS: usize = 40;

/// Writes `roc-pr-NAME.svg`, `reliability-NAME.svg` and `probabilities-NAME.svg` into the run's figures.
///
/// # Errors
/// When drawing or writing fails.
pub fn write(
    run: &RunDirectory,
    name: &str,
    (probabilities, positive): (&[f64], &[bool]),
    threshold: f64,
    calibration: &CalibrationDetails,
) -> Result<()> {
    let figure = |form: &str, svg: String| files::write_figure(run, &format!("{form}-{name}.svg"), svg);
    figure("roc-pr", curves(name, probabilities, positive)?)?;
    figure("reliability", reliability(name, &calibration.bins_before, &calibration.bins_after)?)?;
    figure("probabilities", histogram(name, probabilities, positive, threshold)?)
}

/// ROC and precision-recall side by side.
///
/// # Errors
/// When drawing fails.
pub fn curves(name: &str, probabilities: &[f64], positive: &[bool]) -> Result<String> {
    let roc = RocCurve::new(probabilities, positive);
    let roc =
        roc.iter().flat_map(RocCurve::points).map(|point| (point.false_positive_rate, point.sensitivity));
    let precision = precision_recall::curve(probabilities, positive).unwrap_or_default();
    let precision = precision.into_iter().map(|point| (point.recall, point.precision));
    let base_rate = positive.iter().filter(|y| **y).count() as f64 / positive.len().max(1) as f64;
    let title = |what: &str| format!("{what}, {name}");
    let (left, right) = (title("ROC"), title("precision and recall"));
    let range = || (0.0..1.0, 0.0..1.005);
    let roc = [Series::line("", roc.collect()), Series::new("", vec![(0.0, 0.0), (1.0, 1.0)], Form::Dashes)];
    let precision = [
        Series::line("", precision.collect()),
        Series::new("", vec![(0.0, base_rate), (1.0, base_rate)], Form::Dashes),
    ];
    figures::charts(&[
        (Axes { title: &left, x: "1 - specificity", y: "sensitivity" }, range(), &roc),
        (Axes { title: &right, x: "recall", y: "precision" }, range(), &precision),
    ])
}

/// The reliability diagram before and after calibration.
///
/// # Errors
/// When drawing fails.
pub fn reliability(name: &str, before: &[CalibrationBin], after: &[CalibrationBin]) -> Result<String> {
    let points = |bins: &[CalibrationBin]| {
        let filled = bins.iter().filter(|bin| bin.n > 0);
        filled.map(|bin| (bin.mean_probability, bin.positive_rate)).collect::<Vec<_>>()
    };
    let series = [
        Series::line("before calibration", points(before)),
        Series::line("after", points(after)),
        Series::new("", vec![(0.0, 0.0), (1.0, 1.0)], Form::Dashes),
    ];
    let title = format!("reliability, {name}");
    let axes = Axes { title: &title, x: "mean probability", y: "share of pneumonias" };
    figures::chart(&axes, (0.0..1.0, 0.0..1.005), &series)
}

/// Probabilities by class with the operating point.
///
/// # Errors
/// When drawing fails.
pub fn histogram(name: &str, probabilities: &[f64], positive: &[bool], threshold: f64) -> Result<String> {
    let of = |class: bool| -> Vec<f64> {
        probabilities.iter().zip(positive).filter(|(_, y)| **y == class).map(|(p, _)| *p).collect()
    };
    let series = [
        Series::histogram("normal", &of(false), &(0.0..1.0), BARS),
        Series::histogram("pneumonia", &of(true), &(0.0..1.0), BARS),
        Series::new("operating point", vec![(threshold, 0.0), (threshold, 1.0)], Form::Dashes),
    ];
    let title = format!("calibrated probability by class, {name}");
    let axes = Axes { title: &title, x: "probability of pneumonia", y: "share of the class" };
    figures::chart(&axes, (0.0..1.0, 0.0..1.005), &series)
}
