//! What detectors of drift say.

use super::{DriftDetector, N_RECENT};
use crate::baseline::Detector;
use crate::quantity::Group;
use crate::snapshot::{Figure, GroupReport, OodReport, QuantityReport};

/// Quantities that an alarm names.
const N_NAMED: usize = 3;

impl DriftDetector {
    pub fn report(&self) -> (Vec<GroupReport>, Vec<QuantityReport>) {
        let group = |state: &super::GroupState| {
            let setting = self.baseline.setting(Detector::Group(state.group))?;
            Some(GroupReport {
                group: state.group,
                evidence: self.evidence(state.group),
                threshold: setting.threshold,
                armed: setting.is_armed,
                in_alarm: state.alarm.is_some(),
                n: self.n(state.group),
                change_at: state.alarm.and_then(super::Place::at),
            })
        };
        let quantities = Group::ALL.into_iter().flat_map(|group| self.of(group));
        let quantities = quantities.map(|(quantity, state)| QuantityReport {
            quantity: quantity.name(),
            group: quantity.group(),
            evidence: state.track.evidence(),
            shift: state.shift,
            n: state.n,
        });
        (self.groups.iter().filter_map(group).collect(), quantities.collect())
    }

    /// Share of the last images above the baseline's 99th percentile of `ood_score`, with Wilson's interval.
    pub fn ood_report(&self) -> Option<OodReport> {
        let (_, baseline_share) = self.baseline.ood?;
        let (n, above) = (self.recent_ood.len(), self.recent_ood.iter().filter(|above| **above).count());
        let share = wilson(above as f64, n as f64)?;
        debug_assert!(n <= N_RECENT, "the oldest image leaves");
        Some(OodReport { share, baseline_share })
    }

    /// Whether a group has an alarm that is not resolved.
    pub fn is_in_alarm(&self, group: Group) -> bool {
        self.groups.iter().any(|state| state.group == group && state.alarm.is_some())
    }

    fn n(&self, group: Group) -> u64 {
        if group == Group::Rejections {
            return self.n_rejections;
        }
        self.of(group).map(|(_, state)| state.n).max().unwrap_or(0)
    }

    pub(super) fn moved_most(&self, group: Group) -> Vec<(String, f64)> {
        let mut moved: Vec<_> = self.of(group).collect();
        moved.sort_by(|a, b| b.1.track.evidence().total_cmp(&a.1.track.evidence()).then(a.0.cmp(&b.0)));
        moved.iter().take(N_NAMED).map(|(quantity, state)| (quantity.name(), state.shift)).collect()
    }
}

/// A share with its 95 % interval (Wilson 1927).
fn wilson(k: f64, n: f64) -> Option<Figure> {
    const Z: f64 = 1.959_963_984_540_054;
    if n <= 0.0 {
        return None;
    }
    let share = k / n;
    let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / (1.0 + Z * Z / n);
    Some(Figure {
        value: share,
        low: (centre - half).clamp(0.0, share),
        high: (centre + half).clamp(share, 1.0),
        n: n as u64,
    })
}
