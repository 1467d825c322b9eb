//! Detectors of drift against a site's baseline, one for each group of quantities.

pub(crate) mod bets;
mod report;
mod state;
#[cfg(test)]
mod tests;
pub(crate) mod track;

use crate::baseline::sample::{is_used, stratum};
use crate::baseline::{Baseline, Detector};
use crate::observation::{Observation, Outcome};
use crate::quantity::{Group, Quantity};
use bets::{N_BETS, N_SHARE_BETS, ShareBets, values};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::Arc;
use time::OffsetDateTime;
pub use track::Place;
use track::Track;

/// Images behind the share out of distribution.
const N_RECENT: usize = 200;
/// Images behind the shift of a quantity.
const N_SHIFT: u64 = 64;

/// An alarm that a detector raised.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub detector: Detector,
    pub evidence: f64,
    pub threshold: f64,
    pub leaf: u64,
    pub at: OffsetDateTime,
    /// Estimated begin of the change.
    pub change_at: Option<OffsetDateTime>,
    /// The quantities with the most evidence, with their shift.
    pub quantities: Vec<(String, f64)>,
}

/// The detectors of one stream against one baseline.
#[derive(Debug, Clone)]
pub struct DriftDetector {
    baseline: Arc<Baseline>,
    digest: [u8; 32],
    /// In the order of the baseline's references.
    quantities: Vec<QuantityState>,
    rejections: Option<(ShareBets, Track<N_SHARE_BETS>)>,
    n_rejections: u64,
    groups: Vec<GroupState>,
    /// Whether each of the last images lies above the baseline's limit of `ood_score`.
    recent_ood: VecDeque<bool>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct QuantityState {
    track: Track<N_BETS>,
    n: u64,
    shift: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct GroupState {
    group: Group,
    /// Where the change began, while in alarm.
    alarm: Option<Place>,
}

impl DriftDetector {
    pub fn new(baseline: Arc<Baseline>) -> Self {
        let digest = baseline.digest();
        let rejections =
            baseline.rejections.map(|share| (ShareBets::new(share.mean, share.tolerance), Track::default()));
        let has = |group: &Group| match group {
            Group::Rejections => rejections.is_some(),
            _ => baseline.references.iter().any(|reference| reference.quantity.group() == *group),
        };
        let groups = Group::ALL.into_iter().filter(has);
        Self {
            groups: groups.map(|group| GroupState { group, alarm: None }).collect(),
            quantities: vec![QuantityState::default(); baseline.references.len()],
            rejections,
            n_rejections: 0,
            recent_ood: VecDeque::new(),
            digest,
            baseline,
        }
    }

    pub const fn baseline(&self) -> &Arc<Baseline> {
        &self.baseline
    }

    /// Takes the next image in the order of the leaves, and returns the alarms that it raises.
    pub fn observe(&mut self, observation: &Observation) -> Vec<Opened> {
        if !is_used(observation) {
            return Vec::new();
        }
        let place =
            Place { leaf: observation.leaf_index, received_at_s: observation.received_at.unix_timestamp() };
        let stratum = stratum(observation.received_at);
        for (reference, state) in self.baseline.references.iter().zip(&mut self.quantities) {
            if let Some(value) = reference.quantity.of(observation) {
                let part = reference.part(stratum);
                let p = part.rank(value as f32, || tie(observation, reference.quantity, &self.digest));
                state.add(p, &part.stakes.factors(&values(p)), place);
            }
        }
        if let Some((bets, track)) = &mut self.rejections {
            let is_rejected = matches!(observation.outcome, Outcome::Rejected(_));
            track.add(&bets.factors(f64::from(u8::from(is_rejected))), place);
            self.n_rejections += 1;
        }
        if let (Some((limit, _)), Some(score)) = (self.baseline.ood, &observation.score) {
            if self.recent_ood.len() == N_RECENT {
                self.recent_ood.pop_front();
            }
            // In the precision of the baseline.
            self.recent_ood.push_back(f64::from(score.ood_score as f32) > limit);
        }
        self.raise(observation)
    }

    fn raise(&mut self, observation: &Observation) -> Vec<Opened> {
        let mut opened = Vec::new();
        for index in 0..self.groups.len() {
            let group = self.groups[index].group;
            let detector = Detector::Group(group);
            let Some(setting) = self.baseline.setting(detector) else { continue };
            let evidence = self.evidence(group);
            if !setting.is_armed || self.groups[index].alarm.is_some() || evidence < setting.threshold {
                continue;
            }
            let began = self.began(group);
            self.groups[index].alarm = Some(began);
            opened.push(Opened {
                detector,
                evidence,
                threshold: setting.threshold,
                leaf: observation.leaf_index,
                at: observation.received_at,
                change_at: began.at(),
                quantities: self.moved_most(group),
            });
        }
        opened
    }

    /// Mean over the group's quantities.
    fn evidence(&self, group: Group) -> f64 {
        if group == Group::Rejections {
            return self.rejections.as_ref().map_or(0.0, |(_, track)| track.evidence());
        }
        let (sum, n) =
            self.of(group).fold((0.0, 0.0), |(sum, n), (_, s)| (sum + s.track.evidence(), n + 1.0));
        if n > 0.0 { sum / n } else { 0.0 }
    }

    fn began(&self, group: Group) -> Place {
        let rejections = self.rejections.as_ref().filter(|_| group == Group::Rejections);
        let winners = self.of(group).map(|(_, state)| state.track.winner());
        let winners = winners.chain(rejections.map(|(_, track)| track.winner()));
        winners.fold((-1.0, Place::default()), |best, next| if next.0 > best.0 { next } else { best }).1
    }

    fn of(&self, group: Group) -> impl Iterator<Item = (Quantity, &QuantityState)> {
        let quantities = self.baseline.references.iter().map(|reference| reference.quantity);
        quantities.zip(&self.quantities).filter(move |(quantity, _)| quantity.group() == group)
    }

    /// Forgets the evidence of a group: its alarm is resolved, because its cause is known or gone.
    pub fn restart(&mut self, group: Group) {
        for (reference, state) in self.baseline.references.iter().zip(&mut self.quantities) {
            if reference.quantity.group() == group {
                state.track = Track::default();
            }
        }
        if let Some((_, track)) = self.rejections.as_mut().filter(|_| group == Group::Rejections) {
            *track = Track::default();
        }
        self.groups.iter_mut().filter(|state| state.group == group).for_each(|state| state.alarm = None);
    }
}

impl QuantityState {
    fn add(&mut self, p: f64, factors: &[f64; N_BETS], place: Place) {
        self.track.add(factors, place);
        self.n += 1;
        // The mean at first, then the last images weigh most.
        self.shift += (2.0 * p - 1.0 - self.shift) / self.n.min(N_SHIFT) as f64;
    }
}

/// Places a value among equal ones: a number from 0 to 1 that neither the client nor the order can choose.
fn tie(observation: &Observation, quantity: Quantity, digest: &[u8; 32]) -> f64 {
    let hash = Sha256::new()
        .chain_update(observation.id.as_bytes())
        .chain_update([quantity.code()])
        .chain_update(digest)
        .finalize();
    let bits = hash[..7].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)) >> 3;
    (bits as f64 + 0.5) / (1u64 << 53) as f64
}
