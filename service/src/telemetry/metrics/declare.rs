//! How a metric is made and registered, one function for each kind; and the catalogue of all that were.

use super::super::buckets::DURATION_BUCKETS_SECONDS;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts,
};
use std::sync::{Mutex, PoisonError};

/// A metric, unless its name is taken.
pub(super) type Declared<M> = prometheus::Result<M>;

/// One metric as it was declared: what docs/METRICS.md says of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) labels: Vec<String>,
    pub(super) help: String,
    /// Of a histogram.
    pub(super) buckets: Vec<f64>,
}

/// Prometheus' registry, and every family in it, those without a series yet as well.
#[derive(Default)]
pub(super) struct Registry {
    metrics: prometheus::Registry,
    families: Mutex<Vec<Family>>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Every family, in the order of their names.
    pub(super) fn families(&self) -> Vec<Family> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner).clone();
        families.sort_by(|one, other| one.name.cmp(&other.name));
        families
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.metrics.gather()
    }

    /// Registers what is described by itself, and enters it in the catalogue.
    pub(super) fn register(&self, metric: Box<dyn Collector>) -> Declared<()> {
        let collected = metric.collect();
        let declared: Vec<Family> = metric.desc().into_iter().map(|d| family(d, &collected)).collect();
        self.metrics.register(metric)?;
        self.families.lock().unwrap_or_else(PoisonError::into_inner).extend(declared);
        Ok(())
    }

    fn set_buckets(&self, name: &str, buckets: &[f64]) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        for family in families.iter_mut().filter(|family| family.name == name) {
            family.buckets = buckets.to_vec();
        }
    }
}

/// A metric without a series yet has its type as well.
fn family(described: &Desc, collected: &[MetricFamily]) -> Family {
    let kind = collected.iter().find(|family| family.name() == described.fq_name);
    let kind = match kind.map(MetricFamily::get_field_type) {
        Some(MetricType::COUNTER) => "counter",
        Some(MetricType::HISTOGRAM) => "histogram",
        _ => "gauge",
    };
    let (name, help) = (described.fq_name.clone(), described.help.clone());
    Family { name, kind, labels: described.variable_labels.clone(), help, buckets: Vec::new() }
}

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Declared<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> Declared<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

/// Of something that has fractions, such as seconds.
pub(super) fn fractional_counter(registry: &Registry, name: &str, help: &str) -> Declared<Counter> {
    registered(registry, Counter::new(name, help)?)
}

/// A counter whose value is kept elsewhere and read when the metrics are.
pub(super) fn read_counter(registry: &Registry, name: &str, help: &str, read: fn() -> u64) -> Declared<()> {
    let empty = IntCounter::new(name, help)?;
    registry.register(Box::new(ReadCounter { empty, options: Opts::new(name, help), read }))
}

struct ReadCounter {
    empty: IntCounter,
    options: Opts,
    read: fn() -> u64,
}

impl Collector for ReadCounter {
    fn desc(&self) -> Vec<&Desc> {
        self.empty.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A fresh one each time: two readers may collect at once.
        let Ok(counter) = IntCounter::with_opts(self.options.clone()) else { return Vec::new() };
        counter.inc_by((self.read)());
        counter.collect()
    }
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> Declared<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

pub(super) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Declared<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn number(registry: &Registry, name: &str, help: &str) -> Declared<Gauge> {
    registered(registry, Gauge::new(name, help)?)
}

pub(super) fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Declared<Histogram> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let declared = registered(registry, Histogram::with_opts(options)?)?;
    registry.set_buckets(name, buckets);
    Ok(declared)
}

pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Declared<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Declared<HistogramVec> {
    let buckets = DURATION_BUCKETS_SECONDS;
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let declared = registered(registry, HistogramVec::new(options, labels)?)?;
    registry.set_buckets(name, buckets);
    Ok(declared)
}
