//! The snapshot: what detectors say, and the figures that are pure functions of the last rows and labels.

use super::MonitorError;
use super::cohorts::Cohorts;
use super::work::Work;
use crate::config::monitoring::MonitoringConfig;
use crate::store::Lease;
use crate::store::monitoring::Approval;
use monitoring::baseline::Baseline;
use monitoring::engine::{StreamId, StreamState, belongs};
use monitoring::observation::LabelledObservation;
use monitoring::performance::cohort::label_report;
use monitoring::performance::estimate::{Basis, estimate};
use monitoring::performance::guard::Guard;
use monitoring::performance::{Scored, labelled};
use monitoring::quantity::Group;
use monitoring::snapshot::{BaselineReport, DetectorReport, EstimateReport, Snapshot, StreamReport};
use monitoring::stream::Stream;
use std::collections::BTreeMap;

/// Groups whose drift makes the estimate invalid.
const OF_MODEL: [Group; 3] = [Group::Score, Group::Ood, Group::Embedding];

/// Every figure at the cursor.
pub(super) async fn compute(
    lease: &mut Lease,
    work: &Work,
    config: &MonitoringConfig,
) -> Result<Snapshot, MonitorError> {
    let approvals = lease.approvals().await?;
    let cohorts = Cohorts::load(lease, work, config.label_delay_days.get()).await?;
    let mut streams = Vec::new();
    for (id, state) in (0..).zip(work.engine().streams()) {
        streams.push(Figures { id, state, work, cohorts: cohorts.as_ref() }.report(&approvals));
        // Intervals of many images take a second.
        lease.renew().await?;
    }
    Ok(Snapshot {
        next_leaf: work.cursor().next_leaf,
        newest_row_at: work.cursor().newest_row_at,
        streams,
        n_streams_pooled: work.engine().n_pooled(),
        alarms: lease.open_alarms().await?.into_iter().map(|stored| stored.alarm).collect(),
    })
}

/// The figures of one stream.
struct Figures<'a> {
    id: StreamId,
    state: &'a StreamState,
    work: &'a Work,
    cohorts: Option<&'a Cohorts>,
}

impl Figures<'_> {
    fn report(&self, approvals: &[Approval]) -> StreamReport {
        let state = self.state;
        let (drift, quantities) =
            state.drift().map(monitoring::drift::DriftDetector::report).unwrap_or_default();
        let has_model = state.stream().model.is_some();
        let mut report = StreamReport {
            stream: state.stream().clone(),
            counts: state.counts(),
            baseline: self.baseline(approvals),
            drift,
            quantities: if state.stream().slice == Stream::ALL { quantities } else { Vec::new() },
            ood: state.drift().and_then(monitoring::drift::DriftDetector::ood_report),
            prevalence: state.prevalence().and_then(monitoring::prevalence::PrevalenceDetector::report),
            estimate: has_model.then(|| self.estimate()),
            realised: None,
            calibration: None,
            labels: None,
        };
        if let Some(cohorts) = self.cohorts.filter(|_| has_model) {
            self.add_labelled(&mut report, cohorts);
        }
        report
    }

    fn baseline(&self, approvals: &[Approval]) -> Option<BaselineReport> {
        let (id, baseline) = self.state.baseline()?;
        let approved = approvals.iter().find(|approval| approval.baseline_id == id)?;
        Some(BaselineReport {
            id,
            digest: hex::encode(baseline.digest()),
            n_images: baseline.n_images,
            n_weeks: baseline.n_weeks,
            approved_at: approved.approved_at,
        })
    }

    /// Labels of the stream, in their order.
    fn labels(&self) -> Vec<LabelledObservation> {
        let stream = self.state.stream();
        let is_ours = |label: &&LabelledObservation| {
            *label.site == stream.site
                && stream.model.as_ref() == Some(&label.score.model)
                && (stream.slice == Stream::ALL
                    || label.view.as_ref().is_some_and(|view| stream.slice == format!("view:{view}")))
        };
        self.work.recent.labels.iter().filter(is_ours).cloned().collect()
    }

    fn add_labelled(&self, report: &mut StreamReport, cohorts: &Cohorts) {
        let settings = self.work.engine().settings();
        let (cohort, labels) = (cohorts.of(self.id, self.work), self.labels());
        let limits = [("sensitivity", settings.sensitivity), ("specificity", settings.specificity)];
        let limits: BTreeMap<String, f64> =
            limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?))).collect();
        let (calibration, rates): (Vec<DetectorReport>, Vec<DetectorReport>) =
            self.state.label_detectors().into_iter().partition(|detector| detector.detector == "calibration");
        report.realised = Some(labelled::realised(&cohort, &labels, &limits, rates));
        report.calibration = Some(labelled::calibration(&cohort, &labels, calibration.into_iter().next()));
        report.labels = Some(label_report(&cohort, &labels, cohorts.drawn(self.id)));
    }

    fn estimate(&self) -> EstimateReport {
        let baseline = self.state.baseline().map(|(_, baseline)| baseline);
        let guard = baseline.and_then(|baseline| guard(baseline));
        // The bundle's own rate is not at hand: the baseline's is what its probabilities were used at.
        let base_rate = baseline.and_then(|baseline| baseline.prevalence).map_or(0.5, |share| share.mean);
        let stream = self.state.stream();
        let rows = self.work.recent.rows.iter().filter(|row| !row.is_repeat && belongs(row, stream));
        let images: Vec<Scored> = rows.filter_map(Scored::of).collect();
        let local = self.cohorts.map(|cohorts| cohorts.of(self.id, self.work).known(&self.labels()));
        let local = local.unwrap_or_default();
        let in_alarm = |group: &Group| self.state.drift().is_some_and(|drift| drift.is_in_alarm(*group));
        let in_alarm: Vec<Group> = OF_MODEL.into_iter().filter(in_alarm).collect();
        estimate(&images, &Basis { bundle: &[], base_rate, local: &local, in_alarm: &in_alarm, guard })
    }
}

fn guard(baseline: &Baseline) -> Option<Guard> {
    let (cut, share) = baseline.ood?;
    Some(Guard::new(cut, (share * baseline.n_used as f64).round() as u64, baseline.n_used))
}
