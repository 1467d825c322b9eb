//! The queue of images for the sessions. One task owns it, asks the policy, and sends batches to sessions.

use super::policy::{BatchPolicy, BatchStep, Waiting};
use super::ticket::Ticket;
use super::{Inference, InferenceError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::SpanRef;
use cxr::ModelInput;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Weight of the newest run in the moving average of a batch size's run time.
const NEWEST_WEIGHT: f64 = 0.2;

/// Deadline of an image without one.
const NO_DEADLINE: Duration = Duration::from_hours(1);

pub(super) struct Item {
    pub(super) pixels: Pixels,
    pub(super) deadline: Option<Instant>,
    /// Whether no other image was in flight when it was queued.
    pub(super) only: bool,
    pub(super) submitted: Instant,
    pub(super) span: Option<SpanRef>,
    pub(super) ticket: Ticket,
    pub(super) reply: oneshot::Sender<Result<Inference, InferenceError>>,
}

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

pub(super) type Batch = Vec<Item>;

pub(super) enum Message {
    Submit(Item),
    /// A batch has ended. `cost` is the number of images and the run time, if they predict the next batch.
    Finished {
        cost: Option<(usize, Duration)>,
    },
}

pub(super) struct Lanes {
    /// To the sessions for batches; the next free one takes a batch.
    pub(super) shared: mpsc::Sender<Batch>,
    /// To the single-image session, if there is one.
    pub(super) single_image: mpsc::Sender<Batch>,
}

/// Starts the task. It ends with the last strong sender; then the lanes close and the sessions end.
pub(super) fn start(
    policy: BatchPolicy,
    lanes: Lanes,
    metrics: Option<Arc<Metrics>>,
) -> UnboundedSender<Message> {
    let (messages, inbox) = unbounded_channel();
    let (waiting, costs) = (VecDeque::new(), Costs::default());
    tokio::spawn(Owner { policy, lanes, metrics, waiting, unfinished: 0, costs }.work(inbox));
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
            let message = match self.send_batches() {
                BatchStep::Wait(left) => match tokio::time::timeout(left, inbox.recv()).await {
                    Ok(message) => message,
                    Err(_) => continue,
                },
                BatchStep::Run(_) | BatchStep::RunSingle | BatchStep::Idle => inbox.recv().await,
            };
            let Some(message) = message else { return };
            self.receive(message);
            // Everything that has arrived counts for the same decision.
            while let Ok(message) = inbox.try_recv() {
                self.receive(message);
            }
        }
    }

    fn receive(&mut self, message: Message) {
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

    /// Sends batches until the policy says Wait or Idle; returns that step.
    fn send_batches(&mut self) -> BatchStep {
        self.waiting.retain(|item| !item.ticket.is_cancelled());
        loop {
            let now = Instant::now();
            let view: Vec<Waiting> = self.waiting.iter().map(|item| item.waiting(now)).collect();
            let step = self.policy.next(&view, self.unfinished, |n| self.costs.of(n));
            let (lane, n) = match step {
                BatchStep::Run(n) => (&self.lanes.shared, n),
                BatchStep::RunSingle => (&self.lanes.single_image, 1),
                BatchStep::Wait(_) | BatchStep::Idle => {
                    if let Some(metrics) = &self.metrics {
                        metrics.waiting(self.waiting.len());
                    }
                    return step;
                }
            };
            let batch: Batch = self.waiting.drain(..n).collect();
            self.unfinished += 1;
            // If the sessions have ended, the batch is dropped with its replies: the senders get `JobLost`.
            drop(lane.send(batch));
        }
    }
}

impl Item {
    fn waiting(&self, now: Instant) -> Waiting {
        let left = self.deadline.map_or(NO_DEADLINE, |deadline| deadline.saturating_duration_since(now));
        Waiting { waited: now.saturating_duration_since(self.submitted), left, only: self.only }
    }
}

/// Average run time by batch size, in seconds.
#[derive(Default)]
struct Costs(BTreeMap<usize, f64>);

impl Costs {
    fn learn(&mut self, n: usize, ran: Duration) {
        if n > 0 {
            let seconds = ran.as_secs_f64();
            self.0.entry(n).and_modify(|mean| *mean += NEWEST_WEIGHT * (seconds - *mean)).or_insert(seconds);
        }
    }

    /// The time of this size; if it has not run, estimated from the nearest smaller or larger size.
    fn of(&self, n: usize) -> Option<Duration> {
        let below = self.0.range(..=n).next_back();
        let (size, seconds) = below.or_else(|| self.0.range(n..).next())?;
        let factor = if *size < n { n as f64 / *size as f64 } else { 1.0 };
        Some(Duration::from_secs_f64(seconds * factor))
    }
}
