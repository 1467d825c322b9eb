//! The steps of histograms.

/// Steps of about 1.5 from a fifth of a millisecond (admitting a small upload) to half a second, where objectives lie, so
/// that a quantile read from them is off by a quarter at most; wider ones to 16 s (a stalled database before its
/// time-out).
pub(super) const DURATION_BUCKETS_SECONDS: &[f64] = &[
    0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0,
];

/// Powers of two up to what a GPU may be given.
pub(super) const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Probabilities differ by nothing, by rounding, or by something that a person would see.
pub(super) const DIFFERENCE_BUCKETS: &[f64] = &[0.0, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
