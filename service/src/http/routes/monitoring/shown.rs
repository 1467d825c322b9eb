//! The figures of a snapshot as the API shows them: the same names, with their description.

use monitoring::quantity::Group;
use monitoring::snapshot::{self, EstimateStatus, Severity};
use monitoring::stream;
use serde::Serialize;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A value of a snapshot that the API shows in another type.
pub(super) trait Shown {
    type As;

    fn shown(&self) -> Self::As;
}

/// A time in RFC 3339.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime)]
pub(crate) struct Moment(#[serde(with = "time::serde::rfc3339")] pub(super) OffsetDateTime);

impl Shown for OffsetDateTime {
    type As = Moment;

    fn shown(&self) -> Moment {
        Moment(*self)
    }
}

macro_rules! shown_unchanged {
    ($($type:ty),*) => { $(
        impl Shown for $type {
            type As = Self;

            fn shown(&self) -> Self {
                self.clone()
            }
        }
    )* };
}
shown_unchanged!(f64, u64, bool, String, Uuid);

macro_rules! shown_by_name {
    ($($type:ty),*) => { $(
        impl Shown for $type {
            type As = &'static str;

            fn shown(&self) -> &'static str {
                self.name()
            }
        }
    )* };
}
shown_by_name!(Group, EstimateStatus, Severity);

impl<T: Shown> Shown for Option<T> {
    type As = Option<T::As>;

    fn shown(&self) -> Self::As {
        self.as_ref().map(T::shown)
    }
}

impl<T: Shown> Shown for Vec<T> {
    type As = Vec<T::As>;

    fn shown(&self) -> Self::As {
        self.iter().map(T::shown).collect()
    }
}

impl<T: Shown> Shown for BTreeMap<String, T> {
    type As = BTreeMap<String, T::As>;

    fn shown(&self) -> Self::As {
        self.iter().map(|(name, value)| (name.clone(), value.shown())).collect()
    }
}

impl Shown for (String, f64) {
    type As = QuantityShift;

    fn shown(&self) -> QuantityShift {
        QuantityShift { quantity: self.0.clone(), shift: self.1 }
    }
}

impl Shown for stream::Stream {
    type As = StreamName;

    fn shown(&self) -> StreamName {
        let model = self.model.as_ref();
        StreamName {
            site: self.site.clone(),
            slice: self.slice.clone(),
            version: model.map(|model| model.version.clone()),
            digest: model.map(|model| model.digest.clone()),
            variant: model.map(|model| model.variant.clone()),
        }
    }
}

/// Declares what is shown of a type: the fields of the same names.
macro_rules! shown {
    ($(
        $(#[$what:meta])+
        $Name:ident of $source:ty {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty,)+
        }
    )+) => { $(
        $(#[$what])+
        #[derive(Debug, Serialize, ToSchema)]
        pub(crate) struct $Name {
            $($(#[doc = $doc])+ $field: $type,)+
        }

        impl Shown for $source {
            type As = $Name;

            fn shown(&self) -> $Name {
                $Name { $($field: self.$field.shown(),)+ }
            }
        }
    )+ };
}

/// The images that are monitored together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamName {
    /// Site, as in audit rows.
    site: String,
    /// `all`, or a property and its value, such as `view:PA`.
    slice: String,
    /// Version of the bundle; null for image statistics and rejections, which go on across models. The same
    /// for the next two.
    version: Option<String>,
    /// SHA-256 of the bundle's manifest.
    digest: Option<String>,
    /// Variant of the bundle.
    variant: Option<String>,
}

/// A quantity that moved, and by how much.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuantityShift {
    /// Name of the quantity.
    quantity: String,
    /// From -1 (every image below the baseline) over 0 (as in the baseline) to 1 (every image above).
    shift: f64,
}

shown! {
    /// A value with its 95 % interval.
    Figure of snapshot::Figure {
        /// The value.
        value: f64,
        /// Lower end of the interval.
        low: f64,
        /// Upper end of the interval.
        high: f64,
        /// Number of images behind it.
        n: u64,
    }

    /// Images since the begin of the log.
    #[expect(clippy::struct_field_names, reason = "the names of the snapshot")]
    Counts of snapshot::Counts {
        /// Images with a prediction.
        n_predicted: u64,
        /// Of these, positive ones.
        n_positive: u64,
        /// Of these, referred ones.
        n_referred: u64,
        /// Images whose deadline passed or whose client disconnected.
        n_expired: u64,
        /// Images that failed.
        n_failed: u64,
        /// Rejected images by reason.
        n_rejected: BTreeMap<String, u64>,
    }

    /// The approved baseline that drift is measured against.
    Baseline of snapshot::BaselineReport {
        /// Id of the baseline.
        id: Uuid,
        /// SHA-256 of its content.
        digest: String,
        /// Images in it.
        n_images: u64,
        /// Whole weeks that they span.
        n_weeks: u64,
        /// When an operator approved it.
        approved_at: Moment,
    }

    /// Evidence of a change in one group of quantities.
    GroupEvidence of snapshot::GroupReport {
        /// `inputs`, `score`, `ood`, `embedding` or `rejections`.
        group: &'static str,
        /// Evidence, in images. It raises an alarm at `threshold`.
        evidence: f64,
        /// Expected number of images between two false alarms, from the budget.
        threshold: f64,
        /// Whether the simulation showed that it keeps its budget; only then alarms are raised.
        armed: bool,
        /// Whether the group is in alarm.
        in_alarm: bool,
        /// Number of images behind it.
        n: u64,
        /// Estimated begin of the change.
        change_at: Option<Moment>,
    }

    /// Evidence of a change in one quantity.
    QuantityEvidence of snapshot::QuantityReport {
        /// Name of the quantity.
        quantity: String,
        /// Its group.
        group: &'static str,
        /// Evidence, in images.
        evidence: f64,
        /// From -1 (every image below the baseline) over 0 (as in the baseline) to 1 (every image above).
        shift: f64,
        /// Number of images behind it.
        n: u64,
    }

    /// Images out of distribution.
    OutOfDistribution of snapshot::OodReport {
        /// Share (0 to 1) of the last images above the baseline's 99th percentile of `ood_score`.
        share: Figure,
        /// The same share in the baseline.
        baseline_share: f64,
    }

    /// Share of positives. A change of it, such as winter pneumonia, is no failure of the model.
    Prevalence of snapshot::PrevalenceReport {
        /// Estimated share (0 to 1) over the last images.
        estimate: Figure,
        /// The same in the baseline.
        baseline: f64,
        /// Evidence, in images.
        evidence: f64,
        /// Expected number of images between two false alarms.
        threshold: f64,
        /// Whether it may raise alarms.
        armed: bool,
        /// Whether it is in alarm.
        in_alarm: bool,
    }

    /// Evidence of one detector.
    DetectorEvidence of snapshot::DetectorReport {
        /// `misses`, `false_positives` or `calibration`.
        detector: String,
        /// Evidence, in images. It raises an alarm at `threshold`.
        evidence: f64,
        /// Expected number of images between two false alarms.
        threshold: f64,
        /// Whether it may raise alarms.
        armed: bool,
        /// Whether it is in alarm.
        in_alarm: bool,
        /// Number of labelled images behind it.
        n: u64,
    }

    /// Performance estimated without labels.
    Estimate of snapshot::EstimateReport {
        /// `ok`, `insufficient` (too few images) or `withheld` (the estimate would not be valid).
        status: &'static str,
        /// Why there is no estimate.
        reason: Option<String>,
        /// `cbpe`, or `cbpe_reweighted` once there are enough local labels.
        method: String,
        /// Shares (0 to 1): `sensitivity`, `specificity`, `accuracy`. Empty unless the status is `ok`.
        figures: BTreeMap<String, Figure>,
        /// While withheld: the share if every image out of distribution was answered wrongly.
        worst_case: BTreeMap<String, f64>,
        /// Number of images behind it.
        n: u64,
    }

    /// Performance by labels.
    Realised of snapshot::RealisedReport {
        /// `ok`, `insufficient` or `withheld`.
        status: &'static str,
        /// Why there are no figures.
        reason: Option<String>,
        /// Shares (0 to 1) by name: `sensitivity`, `specificity`, `accuracy`, `auc`. Each image counts by the
        /// inverse of its inclusion probability.
        figures: BTreeMap<String, Figure>,
        /// The same with equal weights: biased if images are labelled selectively.
        unweighted: BTreeMap<String, Figure>,
        /// Contractual limits by name.
        limits: BTreeMap<String, f64>,
        /// The detectors `misses` and `false_positives`.
        detectors: Vec<DetectorEvidence>,
        /// Number of images labelled positive.
        n_positive: u64,
        /// Number of images labelled negative.
        n_negative: u64,
    }

    /// Calibration by labels.
    Calibration of snapshot::CalibrationReport {
        /// `ok`, `insufficient` or `withheld`.
        status: &'static str,
        /// Why there are no figures.
        reason: Option<String>,
        /// Expected calibration error (l2 norm, 0 to 1).
        ece: Option<Figure>,
        /// Brier score (0 to 1).
        brier: Option<Figure>,
        /// Mean of label minus probability (-1 to 1).
        bias: Option<Figure>,
        /// The detector of a change.
        detector: Option<DetectorEvidence>,
    }

    /// Labels of the images.
    LabelState of snapshot::LabelReport {
        /// Number of images labelled positive.
        n_positive: u64,
        /// Number of images labelled negative.
        n_negative: u64,
        /// Share (0 to 1) of the images that have a label.
        coverage: f64,
        /// Median time from an image to its first label, in seconds.
        median_delay_s: Option<f64>,
        /// Images of the review sample without a label.
        n_unread: u64,
        /// When the oldest of them was received.
        oldest_unread_at: Option<Moment>,
    }

    /// An alarm that is not resolved.
    AlarmInfo of snapshot::Alarm {
        /// Id of the alarm.
        id: Uuid,
        /// Where it was raised.
        stream: StreamName,
        /// The group of quantities or the detector that raised it.
        detector: String,
        /// `page` (act now) or `ticket` (act within days).
        severity: &'static str,
        /// When the image that raised it was received.
        opened_at: Moment,
        /// Leaf index of that image.
        opened_leaf: u64,
        /// Estimated begin of the change.
        change_at: Option<Moment>,
        /// Evidence when it was raised, in images.
        evidence: f64,
        /// The threshold that the evidence reached.
        threshold: f64,
        /// The quantities that moved most.
        quantities: Vec<QuantityShift>,
        /// When an operator acknowledged it.
        acknowledged_at: Option<Moment>,
        /// When it was escalated because no operator had acknowledged it.
        escalated_at: Option<Moment>,
    }
}
