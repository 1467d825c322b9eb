//! The colour scale of a variant's heatmaps (docs/decisions/0014-one-scale-for-heatmaps.md).

use crate::data::folds::Fold;
use cxr::heatmap::{HeatmapScale, ScaleOrigin};
use std::fmt::Write as _;

/// The scale begins at this quantile of the true negatives: one in a hundred has a coloured area.
const LOW_QUANTILE: f64 = 0.99;
/// The scale ends at this quantile of the true positives.
const HIGH_QUANTILE: f64 = 0.95;
/// Least number of true positives and of true negatives; with fewer, the quantiles are single images.
const MIN_IMAGES: usize = 20;
/// The region of the heart on a frontal radiograph, as shares of width and height.
const MIDDLE: [[f64; 2]; 2] = [[1.0 / 3.0, 2.0 / 3.0], [0.4, 0.9]];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MapFigures {
    /// Or why the fold gives none.
    pub(crate) scale: Result<HeatmapScale, String>,
    pub(crate) peaks: Peaks,
}

/// How often a map's peak lies in the middle, of how many images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Peaks {
    /// Flagged positives.
    pub(crate) positive: [usize; 2],
    pub(crate) negative: [usize; 2],
}

/// The strongest cell of an image's map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    pub(crate) value: f32,
    pub(crate) in_the_middle: bool,
    pub(crate) positive: bool,
    pub(crate) flagged: bool,
}

impl Peak {
    pub(crate) fn of(cam: &[f32], (columns, rows): (u32, u32), positive: bool, flagged: bool) -> Self {
        let (cell, value) =
            (0..).zip(cam).max_by(|a, b| a.1.total_cmp(b.1)).map_or((0, 0.0), |(i, v)| (i, *v));
        let centre = |cell: u32, cells: u32| (f64::from(cell) + 0.5) / f64::from(cells);
        let (x, y) = (centre(cell % columns, columns), centre(cell / columns, rows));
        let [[left, right], [top, bottom]] = MIDDLE;
        let in_the_middle = (left..right).contains(&x) && (top..bottom).contains(&y);
        Self { value, in_the_middle, positive, flagged }
    }
}

impl MapFigures {
    pub(crate) fn of(peaks: &[Peak]) -> Self {
        let flagged = |peak: &&Peak| peak.positive && peak.flagged;
        let count = |of: &dyn Fn(&&Peak) -> bool| {
            let n = peaks.iter().filter(of);
            [n.clone().filter(|peak| peak.in_the_middle).count(), n.count()]
        };
        Self {
            scale: scale(peaks),
            peaks: Peaks { positive: count(&flagged), negative: count(&|peak| !peak.positive) },
        }
    }

    pub(crate) fn section(&self) -> String {
        let mut text = format!("{HEADING}\n");
        // Writing to a String cannot fail.
        let _ = match &self.scale {
            Ok(HeatmapScale { low, high, chosen }) => writeln!(
                text,
                "- One scale for all images, from the {} fold: nothing is drawn below {low:.3}, the {} quantile of the peaks of {}\n  negatives that are not flagged; the last colour begins at {high:.3}, the {} quantile of {} flagged positives, of which\n  {:.1} % have a coloured area.",
                chosen.fold,
                chosen.low_quantile,
                chosen.n_negative,
                chosen.high_quantile,
                chosen.n_positive,
                100.0 * chosen.drawn_positive
            ),
            Err(reason) => writeln!(text, "- No heatmaps: {reason}."),
        };
        let Peaks { positive: [k_positive, n_positive], negative: [k_negative, n_negative] } = self.peaks;
        let [[left, right], [top, bottom]] = MIDDLE;
        let _ = writeln!(
            text,
            "- The map does not localise disease: its peak lies in the middle of the image, where the heart is ({:.0} % of the area),\n  in {k_positive} of {n_positive} flagged positives and in {k_negative} of {n_negative} negatives of select.",
            100.0 * (right - left) * (bottom - top)
        );
        text
    }
}

pub(crate) const HEADING: &str = "### Heatmap\n";

impl std::fmt::Display for MapFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Peaks { positive: [k_positive, n_positive], negative: [k_negative, n_negative] } = self.peaks;
        match &self.scale {
            Ok(scale) => write!(f, "heatmaps from {:.4} to {:.4}", scale.low, scale.high)?,
            Err(reason) => write!(f, "no heatmaps: {reason}")?,
        }
        write!(
            f,
            "; peak in the middle: {k_positive} of {n_positive} flagged positives, {k_negative} of {n_negative} negatives"
        )
    }
}

fn scale(peaks: &[Peak]) -> Result<HeatmapScale, String> {
    let values = |positive: bool, flagged: bool| {
        let group = peaks.iter().filter(|peak| peak.positive == positive && peak.flagged == flagged);
        let mut values: Vec<f32> = group.map(|peak| peak.value).collect();
        values.sort_by(f32::total_cmp);
        values
    };
    let (negative, positive) = (values(false, false), values(true, true));
    if negative.len().min(positive.len()) < MIN_IMAGES {
        return Err(format!(
            "too few correct decisions on the select fold: {} negatives and {} positives, while a scale needs {MIN_IMAGES} of each",
            negative.len(),
            positive.len()
        ));
    }
    let low = quantile(&negative, LOW_QUANTILE).max(0.0);
    let drawn = positive.iter().filter(|value| **value >= low).count();
    let scale = HeatmapScale {
        low,
        high: quantile(&positive, HIGH_QUANTILE),
        chosen: ScaleOrigin {
            fold: Fold::Select.name().to_owned(),
            low_quantile: LOW_QUANTILE,
            n_negative: negative.len(),
            high_quantile: HIGH_QUANTILE,
            n_positive: positive.len(),
            drawn_positive: drawn as f64 / positive.len() as f64,
        },
    };
    if scale.is_valid() {
        Ok(scale)
    } else {
        Err("the maps do not separate the classes of the select fold: the peaks of positives are no higher than those of negatives".to_owned())
    }
}

/// Linear interpolation between order statistics.
fn quantile(sorted: &[f32], share: f64) -> f32 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(values: impl Iterator<Item = f32>, positive: bool) -> Vec<Peak> {
        values.map(|value| Peak { value, in_the_middle: positive, positive, flagged: positive }).collect()
    }

    #[test]
    fn the_scale_begins_above_clear_negatives_and_ends_among_clear_positives() {
        let mut all = peaks((0..=100).map(|value| value as f32 / 100.0), false);
        all.extend(peaks((0..=100).map(|value| 2.0 + value as f32 / 100.0), true));
        // A false positive does not change the scale.
        all.push(Peak { value: 50.0, in_the_middle: false, positive: false, flagged: true });
        let figures = MapFigures::of(&all);
        let scale = figures.scale.as_ref().unwrap();
        assert!((scale.low - 0.99).abs() < 1e-6 && (scale.high - 2.95).abs() < 1e-6, "{scale:?}");
        assert_eq!(
            (scale.chosen.n_negative, scale.chosen.n_positive, scale.chosen.drawn_positive),
            (101, 101, 1.0)
        );
        assert_eq!(figures.peaks, Peaks { positive: [101, 101], negative: [0, 102] });
        assert!(figures.section().contains("101 of 101") && figures.section().contains("0 of 102"));
    }

    #[test]
    fn few_images_or_equal_maps_give_no_scale() {
        let mut few = peaks((0..30).map(|_| 0.5), false);
        few.extend(peaks((0..19).map(|_| 3.0), true));
        let of_few = MapFigures::of(&few);
        assert!(of_few.scale.is_err());
        assert!(of_few.section().contains("30 negatives and 19 positives"), "{}", of_few.section());
        let mut alike = peaks((0..30).map(|_| 0.5), false);
        alike.extend(peaks((0..30).map(|_| 0.5), true));
        let of_alike = MapFigures::of(&alike);
        assert!(of_alike.scale.is_err());
        assert!(of_alike.section().contains("do not separate the classes"), "{}", of_alike.section());
    }

    #[test]
    fn the_peak_of_a_map_is_found() {
        let mut cam = vec![0.0; 49];
        cam[4 * 7 + 4] = 2.0;
        let middle = Peak::of(&cam, (7, 7), true, true);
        assert!(middle.in_the_middle && (middle.value - 2.0).abs() < 1e-6);
        cam[0] = 3.0;
        assert!(!Peak::of(&cam, (7, 7), true, true).in_the_middle);
    }
}
