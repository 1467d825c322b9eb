//! The open windows of a stream. Hours close once leaves are well past them; a day is the sum of its hours.

use crate::codec::{DecodeError, Reader, Writer};
use crate::observation::Observation;
use crate::window::Window;
use std::collections::BTreeMap;

pub(super) const HOUR_S: i64 = 3600;
pub(super) const DAY_S: i64 = 86_400;
/// A window closes at a row that was received this long after its end: an upload may take an hour, so rows
/// may come late by that much. Later ones make another revision.
const GRACE_S: i64 = 3900;
/// Open windows of a stream: rows far apart in time, as after a wrong clock, close the oldest.
const MAX_OPEN: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    Hour,
    Day,
}

impl Span {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn seconds(self) -> i64 {
        match self {
            Self::Hour => HOUR_S,
            Self::Day => DAY_S,
        }
    }
}

/// A window with the leaves of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    pub first: u64,
    pub last: u64,
    pub window: Window,
}

/// A window that is complete, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub span: Span,
    /// Unix time in seconds.
    pub starts: i64,
    pub content: Leaves,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OpenWindows {
    open: BTreeMap<(Span, i64), Leaves>,
}

impl OpenWindows {
    pub(super) fn add(&mut self, observation: &Observation) {
        let starts = floor(observation.received_at.unix_timestamp(), HOUR_S);
        let leaf = observation.leaf_index;
        let hour = self.entry(Span::Hour, starts, leaf);
        hour.last = leaf;
        hour.window.add(observation);
    }

    fn entry(&mut self, span: Span, starts: i64, leaf: u64) -> &mut Leaves {
        let new = || Leaves { first: leaf, last: leaf, window: Window::default() };
        self.open.entry((span, starts)).or_insert_with(new)
    }

    /// Open hours, whose rows are in no closed window yet.
    pub(super) fn hours(&self) -> impl Iterator<Item = &Window> {
        self.open.iter().filter(|((span, _), _)| *span == Span::Hour).map(|(_, leaves)| &leaves.window)
    }

    /// Open windows of both spans from `from` on: a closed hour is in its open day.
    pub(super) fn since(&self, from: i64) -> impl Iterator<Item = &Window> {
        self.open.iter().filter(move |((_, starts), _)| *starts >= from).map(|(_, leaves)| &leaves.window)
    }

    /// The first time at which a window closes.
    pub(super) fn next_close(&self) -> Option<i64> {
        self.open.keys().map(|(span, starts)| starts + span.seconds() + GRACE_S).min()
    }

    /// Closes the windows that a row received at `now` shows to be complete.
    pub(super) fn close(&mut self, now: i64) -> Vec<Closed> {
        let mut closed = Vec::new();
        // Hours first: each adds to its day.
        for span in [Span::Hour, Span::Day] {
            let due = |(s, starts): &&(Span, i64)| *s == span && starts + span.seconds() + GRACE_S <= now;
            let due: Vec<(Span, i64)> = self.open.keys().filter(due).copied().collect();
            for key in due {
                let Some(content) = self.open.remove(&key) else { continue };
                if span == Span::Hour {
                    let day = self.entry(Span::Day, floor(key.1, DAY_S), content.first);
                    day.first = day.first.min(content.first);
                    day.last = day.last.max(content.last);
                    day.window.merge(&content.window);
                }
                closed.push(Closed { span, starts: key.1, content });
            }
        }
        closed
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() as u64 >= MAX_OPEN
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.n(self.open.len() as u64);
        for ((span, starts), leaves) in &self.open {
            writer.flag(*span == Span::Day);
            writer.signed(i128::from(*starts));
            writer.n(leaves.first);
            writer.n(leaves.last);
            let window = leaves.window.encode();
            writer.n(window.len() as u64);
            writer.bytes(&window);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut open = BTreeMap::new();
        for _ in 0..reader.n(MAX_OPEN, "the number of open windows")? {
            let span = if reader.flag("a span")? { Span::Day } else { Span::Hour };
            let starts = i64::try_from(reader.signed()?).map_err(|_| reader.range("a window's start"))?;
            let (first, last) = (reader.n(u64::MAX, "a leaf")?, reader.n(u64::MAX, "a leaf")?);
            let n = reader.length(1, "the length of a window")?;
            let window = Window::decode(reader.bytes(n)?)?;
            open.insert((span, starts), Leaves { first, last, window });
        }
        Ok(Self { open })
    }
}

const fn floor(moment: i64, span: i64) -> i64 {
    moment - moment.rem_euclid(span)
}
