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
use monitoring::performance::estimate::{Basis, Known, estimate};
use monitoring::performance::guard::Guard;
use monitoring::performance::{Scored, labelled};
use monitoring::quantity::Group;
use monitoring::snapshot::{
    BaselineReport, DetectorReport, EstimateReport, EstimateStatus, Snapshot, StreamReport,
};
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
    let streams = (0..).zip(work.engine().streams());
    let report = |(id, state)| Figures { id, state, work, cohorts: cohorts.as_ref() }.report(&approvals);
    Ok(Snapshot {
        next_leaf: work.cursor().next_leaf,
        newest_row_at: work.cursor().newest_row_at,
        streams: streams.map(report).collect(),
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
        let (drift, quantities) = state.drift().map(|drift| drift.report()).unwrap_or_default();
        let has_model = state.stream().model.is_some();
        let mut report = StreamReport {
            stream: state.stream().clone(),
            counts: state.counts(),
            baseline: self.baseline(approvals),
            drift,
            quantities: if state.stream().slice == Stream::ALL { quantities } else { Vec::new() },
            ood: state.drift().and_then(|drift| drift.ood_report()),
            prevalence: state.prevalence().and_then(|prevalence| prevalence.report()),
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
        let Some((_, baseline)) = self.state.baseline() else {
            return withheld("no approved baseline");
        };
        let Some(guard) = guard(baseline) else { return withheld("the baseline has no ood_score") };
        let stream = self.state.stream();
        let rows = self.work.recent.rows.iter().filter(|row| !row.is_repeat && belongs(row, stream));
        let images: Vec<Scored> = rows.filter_map(Scored::of).collect();
        let local: Vec<Known> = self.labels().iter().filter_map(known).collect();
        let in_alarm = |group: &Group| self.state.drift().is_some_and(|drift| drift.is_in_alarm(*group));
        let in_alarm: Vec<Group> = OF_MODEL.into_iter().filter(in_alarm).collect();
        estimate(&images, &Basis { bundle: &[], local: &local, in_alarm: &in_alarm, guard })
    }
}

/// A first label that was sought by design, with its weight.
fn known(label: &LabelledObservation) -> Option<Known> {
    let inclusion_probability = label.inclusion_probability.filter(|_| !label.is_correction)?;
    let scored = Scored::new(&label.score, label.patient_day)?;
    Some(Known { scored, positive: label.positive, weight: 1.0 / inclusion_probability })
}

fn guard(baseline: &Baseline) -> Option<Guard> {
    let (cut, share) = baseline.ood?;
    Some(Guard::new(cut, (share * baseline.n_used as f64).round() as u64, baseline.n_used))
}

fn withheld(reason: &str) -> EstimateReport {
    EstimateReport {
        status: EstimateStatus::Withheld,
        reason: Some(reason.to_owned()),
        method: "cbpe".to_owned(),
        figures: BTreeMap::new(),
        worst_case: BTreeMap::new(),
        n: 0,
    }
}
