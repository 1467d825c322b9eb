//! Counts of images: sums, and their encoding.

use crate::codec::{DecodeError, Reader, Writer};
use crate::snapshot::Counts;
use crate::window::OTHER;

/// As many reasons as a window has.
const MAX_REASONS: usize = 64;

pub(super) fn add(to: &mut Counts, from: &Counts) {
    to.n_predicted += from.n_predicted;
    to.n_positive += from.n_positive;
    to.n_referred += from.n_referred;
    to.n_expired += from.n_expired;
    to.n_failed += from.n_failed;
    for (reason, n) in &from.n_rejected {
        let is_known = to.n_rejected.contains_key(reason) || to.n_rejected.len() < MAX_REASONS;
        *to.n_rejected.entry(if is_known { reason } else { OTHER }.to_owned()).or_default() += n;
    }
}

pub(super) fn encode(counts: &Counts, writer: &mut Writer) {
    let Counts { n_predicted, n_positive, n_referred, n_expired, n_failed, n_rejected } = counts;
    for n in [n_predicted, n_positive, n_referred, n_expired, n_failed, &(n_rejected.len() as u64)] {
        writer.n(*n);
    }
    for (reason, n) in n_rejected {
        writer.text(reason);
        writer.n(*n);
    }
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Counts, DecodeError> {
    let mut next = || reader.n(u64::MAX, "a count");
    let mut counts = Counts {
        n_predicted: next()?,
        n_positive: next()?,
        n_referred: next()?,
        n_expired: next()?,
        n_failed: next()?,
        ..Counts::default()
    };
    for _ in 0..reader.n(MAX_REASONS as u64 + 1, "the number of reasons")? {
        let reason = reader.text("a reason")?.to_string();
        counts.n_rejected.insert(reason, reader.n(u64::MAX, "a count")?);
    }
    Ok(counts)
}
