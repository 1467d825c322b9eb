//! How a metric is made and registered, one function for each kind.

use super::super::buckets::DURATION_BUCKETS_SECONDS;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// A metric, unless its name is taken.
pub(super) type Declared<M> = prometheus::Result<M>;

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Declared<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> Declared<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
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

pub(super) fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Declared<Histogram> {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
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
    let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS_SECONDS.to_vec());
    registered(registry, HistogramVec::new(options, labels)?)
}
