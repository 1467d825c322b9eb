//! Declares metrics: one line gives the field, the registration and the row in docs/METRICS.md.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::{MetricType, TypedMetric, counter, family, gauge, histogram};
use std::fmt::{self, Debug};
use std::sync::atomic::AtomicU64;

pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// Upper bounds, for a histogram.
    pub(super) buckets: &'static [f64],
}

/// How an exposition is written. Only `OpenMetrics` has exemplars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// The library's registry and what was declared: the registry does not show a family without a series.
#[derive(Default)]
pub(super) struct Registry {
    metrics: prometheus_client::registry::Registry,
    families: Vec<Family>,
}

impl Registry {
    pub(super) fn register<M: Metric>(&mut self, family: Family) -> M {
        let metric = M::make(&family);
        // The library adds both of what is cut here.
        let name = family.name.strip_suffix("_total").filter(|_| M::KIND == "counter").unwrap_or(family.name);
        let help = family.help.strip_suffix('.').unwrap_or(family.help);
        self.metrics.register(name, help, metric.clone());
        self.families.push(family);
        metric
    }

    /// Every family, sorted by name.
    pub(super) fn families(&self) -> Vec<&Family> {
        let mut families: Vec<&Family> = self.families.iter().collect();
        families.sort_by_key(|family| family.name);
        families
    }

    pub(super) fn text(&self, format: Format) -> Result<String, fmt::Error> {
        let mut page = String::new();
        match format {
            Format::Text => prometheus_text::encode(&mut page, &self.metrics)?,
            Format::OpenMetrics => text::encode(&mut page, &self.metrics)?,
        }
        Ok(page)
    }
}

pub(super) type IntCounter = counter::Counter;
pub(super) type Counter = counter::Counter<f64, AtomicU64>;
pub(super) type IntGauge = gauge::Gauge;
pub(super) type Gauge = gauge::Gauge<f64, AtomicU64>;
pub(super) type Histogram = histogram::Histogram;
/// Its observations may carry the id of their trace.
pub(super) type TracedHistogram = HistogramWithExemplars<[(&'static str, String); 1]>;

pub(super) type IntCounterVec = Series<IntCounter>;
pub(super) type IntGaugeVec = Series<IntGauge>;
pub(super) type GaugeVec = Series<Gauge>;
pub(super) type HistogramVec = Series<TracedHistogram>;

/// One metric for each combination of label values.
#[derive(Debug, Clone)]
pub(super) struct Series<M> {
    names: &'static [&'static str],
    metrics: family::Family<Labels, M, Buckets>,
}

type Labels = Vec<(&'static str, String)>;

impl<M: Single> Series<M> {
    /// The metric of these label values, in the declared order; made if it does not exist.
    pub(super) fn with_label_values(&self, values: &[&str]) -> M {
        assert_eq!(values.len(), self.names.len(), "{:?}", self.names);
        let labels = self.names.iter().zip(values).map(|(name, value)| (*name, (*value).to_owned()));
        let mut labels: Labels = labels.collect();
        // Written in this order, as by Prometheus' libraries for other languages.
        labels.sort_unstable();
        self.metrics.get_or_create_owned(&labels)
    }

    /// Forgets every series.
    pub(super) fn reset(&self) {
        self.metrics.clear();
    }
}

impl<M: Single> EncodeMetric for Series<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.metrics.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.metrics.metric_type()
    }

    fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }
}

/// Upper bounds; what else a metric needs is in its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets(&'static [f64]);

impl<M: Single> MetricConstructor<M> for Buckets {
    fn new_metric(&self) -> M {
        M::new(self.0)
    }
}

/// A metric without labels.
pub(super) trait Single: EncodeMetric + TypedMetric + Debug + Clone + Send + Sync + 'static {
    const KIND: &str;

    fn new(buckets: &'static [f64]) -> Self;
}

macro_rules! singles {
    ($($Type:ty: $kind:literal ($buckets:pat) $make:expr;)*) => {$(
        impl Single for $Type {
            const KIND: &str = $kind;

            fn new($buckets: &'static [f64]) -> Self {
                $make
            }
        }
    )*};
}

singles! {
    IntCounter: "counter" (_) Self::default();
    Counter: "counter" (_) Self::default();
    IntGauge: "gauge" (_) Self::default();
    Gauge: "gauge" (_) Self::default();
    Histogram: "histogram" (buckets) Self::new(buckets.iter().copied());
    TracedHistogram: "histogram" (buckets) Self::new(buckets.iter().copied());
}

pub(super) trait Metric: EncodeMetric + Debug + Clone + Send + Sync + 'static {
    const KIND: &str;

    fn make(family: &Family) -> Self;
}

impl<M: Single> Metric for M {
    const KIND: &str = M::KIND;

    fn make(family: &Family) -> Self {
        M::new(family.buckets)
    }
}

impl<M: Single> Metric for Series<M> {
    const KIND: &str = M::KIND;

    fn make(family: &Family) -> Self {
        let metrics = family::Family::new_with_constructor(Buckets(family.buckets));
        Self { names: family.labels, metrics }
    }
}

/// Declares a struct of metrics: `/// help` and `name: Type["label", ..] in BUCKETS,` after a prefix.
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        struct $Set:ident($prefix:literal) {
            $(
                $(#[doc = $help:literal])+
                $name:ident: $Type:ident $([$($label:literal),+])? $(in $buckets:expr)?,
            )+
        }
    ) => {
        $(#[$attribute])*
        pub(super) struct $Set {
            $($(#[doc = $help])+ pub(super) $name: $Type,)+
        }

        impl $Set {
            pub(super) fn register(registry: &mut Registry) -> Self {
                Self {
                    $($name: registry.register(Family {
                        name: concat!($prefix, stringify!($name)),
                        kind: <$Type as Metric>::KIND,
                        labels: &[$($($label),+)?],
                        help: concat!($($help),+).trim_ascii_start(),
                        // The first: the empty list stands for a metric without buckets.
                        buckets: [$($buckets,)? &[] as &[f64]][0],
                    }),)+
                }
            }
        }
    };
}

pub(super) use metrics;
