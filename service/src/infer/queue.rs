//! The owner of what waits for the model: one task, reached by messages. It asks the policy and hands batches over.

use super::policy::{BatchPolicy, Step, Waiting};
use super::ticket::Ticket;
use super::{Inference, InferenceError};
use crate::telemetry::metrics::Metrics;
use cxr::ModelInput;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Weight of the newest run in the running mean of a batch size's time.
const NEWEST: f64 = 0.2;

/// A deadline for what has none.
const NEVER: Duration = Duration::from_hours(1);

/// An image on its way through the model.
pub(super) struct Item {
    pub(super) pixels: Pixels,
    pub(super) deadline: Option<Instant>,
    /// Whether nothing else was in the service when it came here.
    pub(super) only: bool,
    pub(super) submitted: Instant,
    pub(super) ticket: Ticket,
    pub(super) reply: oneshot::Sender<Result<Inference, InferenceError>>,
}

/// What the model reads.
pub(super) enum Pixels {
    Image(Arc<ModelInput>),
    Probe(Arc<[u8]>),
}

impl Pixels {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Image(input) => input.pixels(),
            Self::Probe(bytes) => bytes,
        }
    }
}

/// Images that run together.
pub(super) type Batch = Vec<Item>;

/// What the owner is told.
pub(super) enum Message {
    /// An image has come.
    Submit(Item),
    /// A batch has ended; how many images ran, and for how long, where that says something of the next batch.
    Finished { cost: Option<(usize, Duration)> },
}

/// The ways to the sessions.
pub(super) struct Lanes {
    /// Whichever session is free takes the next batch.
    pub(super) shared: mpsc::Sender<Batch>,
    /// To the session for an image that is alone; the policy knows whether there is one.
    pub(super) alone: mpsc::Sender<Batch>,
}

/// Starts the owner. It ends when the last sender of messages is gone; then the lanes close and the sessions end.
/// `messages` does not count as one: the sessions hold it for as long as they live.
pub(super) fn start(
    policy: BatchPolicy,
    lanes: Lanes,
    metrics: Option<Arc<Metrics>>,
) -> UnboundedSender<Message> {
    let (messages, inbox) = unbounded_channel();
    let owner =
        Owner { policy, lanes, metrics, waiting: VecDeque::new(), unfinished: 0, costs: Costs::default() };
    tokio::spawn(owner.work(inbox));
    messages
}

struct Owner {
    policy: BatchPolicy,
    lanes: Lanes,
    metrics: Option<Arc<Metrics>>,
    waiting: VecDeque<Item>,
    unfinished: usize,
    costs: Costs,
}

impl Owner {
    async fn work(mut self, mut inbox: UnboundedReceiver<Message>) {
        loop {
            let step = self.hand_over();
            let message = match step {
                Step::Wait(left) => match tokio::time::timeout(left, inbox.recv()).await {
                    Ok(message) => message,
                    Err(_) => continue,
                },
                Step::Run(_) | Step::RunAlone | Step::Rest => inbox.recv().await,
            };
            let Some(message) = message else { return };
            self.hear(message);
            // What else has come meanwhile belongs to the same decision.
            while let Ok(message) = inbox.try_recv() {
                self.hear(message);
            }
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Submit(item) => self.waiting.push_back(item),
            Message::Finished { cost } => {
                self.unfinished = self.unfinished.saturating_sub(1);
                if let Some((n, ran)) = cost {
                    self.costs.learn(n, ran);
                }
            }
        }
    }

    /// Hands over every batch that the policy allows, and returns its last word.
    fn hand_over(&mut self) -> Step {
        self.waiting.retain(|item| !item.ticket.is_given_up());
        loop {
            let now = Instant::now();
            let view: Vec<Waiting> = self.waiting.iter().map(|item| item.seen(now)).collect();
            let step = self.policy.next(&view, self.unfinished, |n| self.costs.of(n));
            let (lane, n) = match step {
                Step::Run(n) => (&self.lanes.shared, n),
                Step::RunAlone => (&self.lanes.alone, 1),
                Step::Wait(_) | Step::Rest => {
                    if let Some(metrics) = &self.metrics {
                        metrics.waiting(self.waiting.len());
                    }
                    return step;
                }
            };
            let batch: Batch = self.waiting.drain(..n).collect();
            self.unfinished += 1;
            // Sessions that are gone drop the batch, and with it the replies: whoever waits is told.
            drop(lane.send(batch));
        }
    }
}

impl Item {
    fn seen(&self, now: Instant) -> Waiting {
        let left = self.deadline.map_or(NEVER, |deadline| deadline.saturating_duration_since(now));
        Waiting { waited: now.saturating_duration_since(self.submitted), left, only: self.only }
    }
}

/// How long batches ran, by size.
#[derive(Default)]
struct Costs(BTreeMap<usize, f64>);

impl Costs {
    fn learn(&mut self, n: usize, ran: Duration) {
        if n > 0 {
            let seconds = ran.as_secs_f64();
            self.0.entry(n).and_modify(|mean| *mean += NEWEST * (seconds - *mean)).or_insert(seconds);
        }
    }

    /// Of a size that has run, or in proportion to the nearest one below it, or above it.
    fn of(&self, n: usize) -> Option<Duration> {
        let below = self.0.range(..=n).next_back();
        let (size, seconds) = below.or_else(|| self.0.range(n..).next())?;
        let factor = if *size < n { n as f64 / *size as f64 } else { 1.0 };
        Some(Duration::from_secs_f64(seconds * factor))
    }
}
