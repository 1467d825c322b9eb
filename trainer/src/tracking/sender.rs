//! A thread that delivers the spool in order and retries. It never stops or slows training.

use super::delivery::deliver;
use super::spool::{Delivered, Spool};
use super::store::{DeliveryError, Store};
use crate::progress::say;
use anyhow::Result;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Signals, channel};
use std::time::Duration;

/// First pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Delivers one spool to one store.
pub(super) struct Courier {
    pub(super) spool: Spool,
    pub(super) run_folder: PathBuf,
    pub(super) patient_level: bool,
    pub(super) store: Box<dyn Store>,
}

/// The outcome of a delivery without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Complete,
    /// Another process is delivering this spool.
    ElsewhereBusy,
}

impl Courier {
    /// Delivers everything that the store does not have yet, and records progress event by event.
    pub(super) fn deliver(&mut self) -> Result<Delivery, DeliveryError> {
        let disk = |error: anyhow::Error| DeliveryError::Retryable(format!("{error:#}"));
        let Some(_lock) = self.spool.lock().map_err(disk)? else { return Ok(Delivery::ElsewhereBusy) };
        let target = self.store.target().to_owned();
        let mut delivered = self.delivered().map_err(disk)?;
        loop {
            let lines = self.spool.lines(delivered.position).map_err(disk)?;
            if lines.is_empty() {
                return Ok(Delivery::Complete);
            }
            for line in lines {
                let outcome = match &line.event {
                    Ok(event) => {
                        let from = (self.run_folder.as_path(), self.patient_level);
                        deliver(self.store.as_mut(), &mut delivered, from, event)
                    }
                    Err(what) => {
                        Err(DeliveryError::Permanent(format!("{}: {what}", self.spool.file().display())))
                    }
                };
                match outcome {
                    Ok(()) => delivered.events += 1,
                    Err(DeliveryError::Permanent(why)) => {
                        say(format!("tracking: {why}"));
                        delivered.refused.push(why);
                    }
                    Err(later) => return Err(later),
                }
                delivered.position = line.end;
                self.spool.mark(&target, &delivered).map_err(disk)?;
            }
        }
    }

    pub(super) fn delivered(&self) -> Result<Delivered> {
        Ok(self.spool.sent()?.targets.remove(self.store.target()).unwrap_or_default())
    }
}

pub(super) struct Sender {
    signals: Signals<()>,
    finished: Receiver<()>,
}

impl Sender {
    pub(super) fn start(courier: Courier) -> std::io::Result<Self> {
        let ((signals, wake), (done, finished)) = (channel(), channel());
        std::thread::Builder::new().name("tracking".into()).spawn(move || {
            run(courier, &wake);
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
    pub(super) fn finish(self, patience: Duration) {
        drop(self.signals);
        let _ = self.finished.recv_timeout(patience);
    }
}

fn run(mut courier: Courier, wake: &Receiver<()>) {
    let (mut pause, mut troubled, mut last) = (FIRST_PAUSE, false, false);
    loop {
        let complete = match courier.deliver() {
            Ok(delivery) => {
                if troubled {
                    say(format!("tracking: {} answers again and has everything", courier.store.target()));
                }
                (pause, troubled) = (FIRST_PAUSE, false);
                delivery == Delivery::Complete
            }
            Err(error) => {
                if !troubled {
                    say(format!(
                        "tracking: {error}; kept in {} and tried again",
                        courier.spool.file().display()
                    ));
                }
                troubled = true;
                false
            }
        };
        if last {
            return;
        }
        let signal = if complete {
            wake.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            wake.recv_timeout(pause)
        };
        match signal {
            Ok(()) => while wake.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(LONGEST_PAUSE),
            // Events may have been appended before the channel closed.
            Err(RecvTimeoutError::Disconnected) => last = true,
        }
    }
}
