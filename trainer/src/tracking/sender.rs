//! A thread that delivers the spool in order and retries. It never stops or slows training.

use super::delivery::deliver;
use super::spool::Spool;
use super::store::{DeliveryError, Store};
use crate::progress::say;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Signals, channel};
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

pub(super) struct SpoolDelivery {
    pub(super) spool: Spool,
    pub(super) run_folder: PathBuf,
    pub(super) patient_level: bool,
    pub(super) store: Box<dyn Store>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Complete,
    /// Another process is delivering this spool.
    Locked,
}

impl SpoolDelivery {
    /// Delivers everything that the store does not have yet, and records progress event by event.
    fn deliver(&mut self) -> Result<Outcome, DeliveryError> {
        let disk = |error: anyhow::Error| DeliveryError::Retryable(format!("{error:#}"));
        let Some(_lock) = self.spool.lock().map_err(disk)? else { return Ok(Outcome::Locked) };
        let target = self.store.target().to_owned();
        let mut delivered = self.spool.delivered(&target).map_err(disk)?;
        loop {
            let lines = self.spool.lines(delivered.position).map_err(disk)?;
            if lines.is_empty() {
                return Ok(Outcome::Complete);
            }
            for line in lines {
                let result = match &line.event {
                    Ok(event) => {
                        let from = (self.run_folder.as_path(), self.patient_level);
                        deliver(self.store.as_mut(), &mut delivered, from, event)
                    }
                    Err(what) => {
                        Err(DeliveryError::Permanent(format!("{}: {what}", self.spool.file().display())))
                    }
                };
                match result {
                    Ok(()) => delivered.events += 1,
                    Err(DeliveryError::Permanent(why)) => {
                        say(format!("tracking: {why}"));
                        delivered.refused.push(why);
                    }
                    Err(error) => return Err(error),
                }
                delivered.position = line.end;
                self.spool.save_delivered(&target, &delivered).map_err(disk)?;
            }
        }
    }
}

pub(super) struct Sender {
    signals: Signals<()>,
    finished: Receiver<()>,
}

impl Sender {
    pub(super) fn start(delivery: SpoolDelivery) -> std::io::Result<Self> {
        let ((signals, wake), (done, finished)) = (channel(), channel());
        std::thread::Builder::new().name("tracking".into()).spawn(move || {
            run(delivery, &wake);
            // The receiver is gone if the command stopped waiting.
            let _ = done.send(());
        })?;
        Ok(Self { signals, finished })
    }

    pub(super) fn wake(&self) {
        // If the thread has died, the spool still holds everything.
        let _ = self.signals.send(());
    }

    /// Makes a last attempt and waits for at most `timeout`.
    pub(super) fn finish(self, timeout: Duration) {
        drop(self.signals);
        let _ = self.finished.recv_timeout(timeout);
    }
}

fn run(mut delivery: SpoolDelivery, wake: &Receiver<()>) {
    let (mut pause, mut is_failing, mut is_last) = (FIRST_PAUSE, false, false);
    loop {
        let is_complete = match delivery.deliver() {
            Ok(outcome) => {
                if is_failing {
                    say(format!("tracking: {} works again", delivery.store.target()));
                }
                (pause, is_failing) = (FIRST_PAUSE, false);
                outcome == Outcome::Complete
            }
            Err(error) => {
                if !is_failing {
                    let spool = delivery.spool.file();
                    say(format!("tracking: {error}; kept in {}, will be retried", spool.display()));
                }
                is_failing = true;
                false
            }
        };
        if is_last {
            return;
        }
        let signal =
            if is_complete { wake.recv().map_err(RecvTimeoutError::from) } else { wake.recv_timeout(pause) };
        match signal {
            Ok(()) => while wake.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(LONGEST_PAUSE),
            // Events may have been appended before the channel closed.
            Err(RecvTimeoutError::Disconnected) => is_last = true,
        }
    }
}
