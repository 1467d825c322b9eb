//! Declares metrics: one line gives the field, the registration and the row in docs/METRICS.md.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Result,
};

pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// Upper bounds, for a histogram.
    pub(super) buckets: &'static [f64],
}

/// Prometheus' registry and what was declared: the registry does not show a family without a series.
#[derive(Default)]
pub(super) struct Registry {
    metrics: prometheus::Registry,
    families: Vec<Family>,
}

impl Registry {
    pub(super) fn register<M: Metric>(&mut self, family: Family) -> Result<M> {
        let metric = M::make(&family)?;
        self.metrics.register(Box::new(metric.clone()))?;
        self.families.push(family);
        Ok(metric)
    }

    /// Every family, sorted by name.
    pub(super) fn families(&self) -> Vec<&Family> {
        let mut families: Vec<&Family> = self.families.iter().collect();
        families.sort_by_key(|family| family.name);
        families
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.metrics.gather()
    }
}

pub(super) trait Metric: Collector + Clone + 'static {
    const KIND: &str;

    fn make(family: &Family) -> Result<Self>;
}

macro_rules! metric_types {
    ($($type:ident $kind:literal ($family:ident) $make:expr;)*) => {$(
        impl Metric for $type {
            const KIND: &str = $kind;

            fn make($family: &Family) -> Result<Self> {
                $make
            }
        }
    )*};
}

metric_types! {
    IntCounter "counter" (family) Self::with_opts(options(family));
    Counter "counter" (family) Self::with_opts(options(family));
    IntCounterVec "counter" (family) Self::new(options(family), family.labels);
    IntGauge "gauge" (family) Self::with_opts(options(family));
    Gauge "gauge" (family) Self::with_opts(options(family));
    GaugeVec "gauge" (family) Self::new(options(family), family.labels);
    IntGaugeVec "gauge" (family) Self::new(options(family), family.labels);
    Histogram "histogram" (family) Self::with_opts(histogram_options(family));
    HistogramVec "histogram" (family) Self::new(histogram_options(family), family.labels);
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn histogram_options(family: &Family) -> HistogramOpts {
    HistogramOpts::from(options(family)).buckets(family.buckets.to_vec())
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
            pub(super) fn register(registry: &mut Registry) -> prometheus::Result<Self> {
                Ok(Self {
                    $($name: registry.register(Family {
                        name: concat!($prefix, stringify!($name)),
                        kind: <$Type as Metric>::KIND,
                        labels: &[$($($label),+)?],
                        help: concat!($($help),+).trim_ascii_start(),
                        // The first: the empty list stands for a metric without buckets.
                        buckets: [$($buckets,)? &[] as &[f64]][0],
                    })?,)+
                })
            }
        }
    };
}

pub(super) use metrics;
