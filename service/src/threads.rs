//! Threads of our own for work that takes milliseconds of processor time: they share one queue, and a panic costs one job.
//!
//! The queue is unbounded because admission bounds the number of jobs that can exist.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A job's panic; the place is in the log.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the job panicked or its threads are gone")]
pub struct JobLost;

/// What computes for milliseconds gives way to what decides in microseconds: under full load the door still answers.
pub const COMPUTING: i32 = 5;

/// What nobody waits for gives way to both.
pub const IN_THE_BACKGROUND: i32 = 15;

/// Starts a thread with a niceness (0 is ordinary, 19 the nicest).
///
/// # Errors
/// When the system refuses a thread.
pub fn spawn(name: String, niceness: i32, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let work = move || {
        // Linux counts niceness by thread. Where it is refused the thread works all the same.
        if niceness != 0 && rustix::process::setpriority_process(None, niceness).is_err() {
            tracing::debug!(niceness, "the thread keeps its ordinary priority");
        }
        work();
    };
    std::thread::Builder::new().name(name).spawn(work).map(|_| ())
}

/// Does something that may never end, and stops waiting for it in time.
pub fn within(timeout: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let work = move || {
        work();
        // Nothing waits any more when it took too long.
        let _ = done.send(());
    };
    if std::thread::Builder::new().name("last words".into()).spawn(work).is_ok() {
        let _ = ended.recv_timeout(timeout);
    }
}

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// Threads that each own a `W`. When the last handle is dropped they finish the queue and end.
pub struct Crew<W> {
    queue: Sender<Job<W>>,
}

impl<W: Send + 'static> Crew<W> {
    /// Starts one thread for each worker, each as nice to the rest of the host as `niceness` says.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(name: &str, niceness: i32, workers: Vec<W>) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for (index, worker) in workers.into_iter().enumerate() {
            let jobs = Arc::clone(&jobs);
            spawn(format!("{name}-{index}"), niceness, move || work(worker, &jobs))?;
        }
        Ok(Self { queue })
    }

    /// Runs the job on the next free thread.
    ///
    /// # Errors
    /// `JobLost` when it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Result<T, JobLost> {
        let (answer, answered) = oneshot::channel();
        // Nobody waits for the answer any more when the caller was dropped; the job's work is then for nothing.
        let job: Job<W> = Box::new(move |worker| drop(answer.send(job(worker))));
        self.queue.send(job).map_err(|_| JobLost)?;
        answered.await.map_err(|_| JobLost)
    }
}

fn work<W>(mut worker: W, jobs: &Mutex<Receiver<Job<W>>>) {
    loop {
        // The lock is held while waiting: whichever thread holds it takes the next job.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook has logged it, and dropping the job's sender tells the one who waits.
        drop(catch_unwind(AssertUnwindSafe(|| job(&mut worker))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_job_and_the_thread_goes_on() {
        let crew = Crew::start("test", 0, vec![0u32]).unwrap();
        assert_eq!(
            crew.run(|count| {
                *count += 1;
                *count
            })
            .await
            .unwrap(),
            1
        );
        assert!(crew.run(|_| panic!("one job")).await.is_err());
        assert_eq!(
            crew.run(|count| {
                *count += 1;
                *count
            })
            .await
            .unwrap(),
            2
        );
    }

    #[tokio::test]
    async fn jobs_run_on_all_threads_at_once() {
        let crew = Arc::new(Crew::start("test", 0, vec![(), ()]).unwrap());
        let both = Arc::new(std::sync::Barrier::new(2));
        let jobs: Vec<_> = (0..2)
            .map(|_| {
                let (crew, both) = (Arc::clone(&crew), Arc::clone(&both));
                tokio::spawn(async move { crew.run(move |()| both.wait().is_leader()).await.unwrap() })
            })
            .collect();
        let mut leaders = 0;
        for job in jobs {
            leaders += u32::from(job.await.unwrap());
        }
        assert_eq!(leaders, 1);
    }
}
