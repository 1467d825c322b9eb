//! The spans of a case: one per phase that was reached, with the times that the phase itself measured.

use super::Case;
use super::examine::{Progress, RunSpan};
use crate::telemetry::traces::{Child, Phase, RequestTrace, SpanRef};
use std::time::{Duration, Instant};

/// Exports the spans of the phases; `audit` is when the commit began, and its milliseconds.
pub(super) fn export(
    case: &Case,
    progress: &Progress,
    audit: (Instant, f64),
    audit_error: Option<&'static str>,
) {
    let (submission, timings, began) = (&case.submission, &progress.timings, &progress.began);
    let trace = &submission.trace;
    // Nothing else to do for the traces that are not exported.
    let Some(admission) = trace.name_span() else { return };
    let phase = |name, began: Instant, took| Phase { name, began, took, error: None, batch: None };
    let admitted = phase("admission", submission.started, case.admitted_after);
    trace.phase(admitted, Child { span: Some(admission), ..Child::default() });
    let (from, took) = submission.upload;
    trace.phase(phase("upload", from, took), Child { parent: Some(admission), ..Child::default() });
    for (name, began, took) in
        [("decode", began.decode, timings.decode), ("preprocess", began.preprocess, timings.preprocess)]
    {
        if let (Some(began), Some(took)) = (began, took) {
            trace.phase(phase(name, began, duration(took)), Child::default());
        }
    }
    if let (Some(run), Some(queued), Some(ran)) = (&began.inference, timings.queue, timings.infer) {
        export_run(trace, run, duration(queued), duration(ran));
    }
    let (from, took) = audit;
    let committed = Phase { error: audit_error, ..phase("audit", from, duration(took)) };
    trace.phase(committed, Child::default());
}

fn export_run(trace: &RequestTrace, run: &RunSpan, queued: Duration, ran: Duration) {
    let waited = run.began.checked_sub(queued).unwrap_or(run.began);
    let phase = |name, began, took, batch| Phase { name, began, took, error: None, batch };
    trace.phase(phase("queue", waited, queued, None), Child::default());
    let linked = linked(run.span, &run.batch_spans);
    let batch = Some((run.batch_size, linked));
    trace.phase(phase("infer", run.began, ran, batch), Child { span: run.span, ..Child::default() });
}

/// The first span of a batch is linked with all others, and each of them with the first: a batch of n has
/// 2 (n - 1) links, and not n (n - 1).
fn linked(own: Option<SpanRef>, batch: &[SpanRef]) -> &[SpanRef] {
    match batch.split_first() {
        Some((first, others)) if own == Some(*first) => others,
        Some(_) => &batch[..1],
        None => &[],
    }
}

fn duration(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds / 1e3)
}
