//! Threads of our own for work that takes milliseconds to seconds of processor time, with the memory that the work may take. A panic
//! costs one job.
//!
//! Short jobs are done first, in order. Large ones wait for their client's turn (see `turns`) and for memory, which is reserved before it
//! is allocated, because an allocation that fails ends the process. The queue is unbounded because admission bounds the number of jobs
//! that can exist.

mod load;
mod turns;

pub use load::Load;

use crate::threads::{JobLost, spawn};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use turns::{Place, Turns};

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// Threads that each own a `W`. When the last handle is dropped they finish the queue and end.
pub struct Crew<W> {
    shared: Arc<Shared<W>>,
    memory: u64,
}

struct Shared<W> {
    queue: Mutex<Queue<W>>,
    /// A job came, memory came back, or the crew ends.
    changed: Condvar,
}

struct Queue<W> {
    short: VecDeque<Job<W>>,
    large: Turns<(u64, Job<W>)>,
    free_memory: u64,
    ended: bool,
}

/// A large job that was handed over. Dropped, it is taken out of the queue if it has not begun.
pub struct Queued<T, W> {
    answered: oneshot::Receiver<T>,
    place: Place,
    shared: Arc<Shared<W>>,
}

impl<W: Send + 'static> Crew<W> {
    /// Starts one thread for each worker, each as nice to the rest of the host as `niceness` says, with so many bytes for large jobs.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(name: &str, niceness: i32, workers: Vec<W>, memory: u64) -> std::io::Result<Self> {
        let queue = Queue { short: VecDeque::new(), large: Turns::new(), free_memory: memory, ended: false };
        let crew =
            Self { shared: Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() }), memory };
        for (index, worker) in workers.into_iter().enumerate() {
            let shared = Arc::clone(&crew.shared);
            spawn(format!("{name}-{index}"), niceness, move || shared.work(worker))?;
        }
        Ok(crew)
    }

    /// Bytes that large jobs share.
    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// Runs a short job on the next free thread.
    ///
    /// # Errors
    /// `JobLost` when it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Result<T, JobLost> {
        let (job, answered) = boxed(job);
        self.shared.queue().short.push_back(job);
        self.shared.changed.notify_one();
        answered.await.map_err(|_| JobLost)
    }

    /// Hands over a large job, which runs when its turn has come and its memory is free.
    pub fn queue<T: Send + 'static>(
        &self,
        load: &Load,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Queued<T, W> {
        let (job, answered) = boxed(job);
        let memory = load.memory.min(self.memory);
        let place = self.shared.queue().large.push(&load.client, load.work, (memory, job));
        self.shared.changed.notify_one();
        Queued { answered, place, shared: Arc::clone(&self.shared) }
    }
}

impl<W> Drop for Crew<W> {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.changed.notify_all();
    }
}

impl<T, W> Queued<T, W> {
    /// Waits for its end.
    ///
    /// # Errors
    /// `JobLost` when it panics.
    pub async fn done(&mut self) -> Result<T, JobLost> {
        (&mut self.answered).await.map_err(|_| JobLost)
    }

    /// Takes it out of the queue. False when it has begun.
    pub fn withdraw(&self) -> bool {
        let withdrawn = self.shared.queue().large.remove(self.place);
        if withdrawn.is_some() {
            // The one behind it may fit into the memory that is free.
            self.shared.changed.notify_one();
        }
        withdrawn.is_some()
    }
}

impl<T, W> Drop for Queued<T, W> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl<W> Shared<W> {
    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut worker: W) {
        while let Some((memory, job)) = self.next() {
            // The panic hook has logged it, and dropping the job's sender tells the one who waits.
            drop(catch_unwind(AssertUnwindSafe(|| job(&mut worker))));
            if memory > 0 {
                self.queue().free_memory += memory;
                // Others may have waited for nothing but memory.
                self.changed.notify_all();
            }
        }
    }

    /// Waits for a job, and takes its memory; none when the crew ends and nothing is left.
    fn next(&self) -> Option<(u64, Job<W>)> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.short.pop_front() {
                return Some((0, job));
            }
            let needed = queue.large.first().map(|(memory, _)| *memory);
            if needed.is_some_and(|needed| needed <= queue.free_memory) {
                let (memory, job) = queue.large.pop()?;
                queue.free_memory -= memory;
                return Some((memory, job));
            }
            if needed.is_none() && queue.ended {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Nobody waits for the answer any more when the caller was dropped; the job's work is then for nothing.
fn boxed<W, T: Send + 'static>(
    job: impl FnOnce(&mut W) -> T + Send + 'static,
) -> (Job<W>, oneshot::Receiver<T>) {
    let (answer, answered) = oneshot::channel();
    (Box::new(move |worker| drop(answer.send(job(worker)))), answered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn load(client: &str, memory: u64) -> Load {
        Load { client: client.into(), memory, work: 1 }
    }

    /// Occupies a thread until the sender is used or dropped.
    fn busy(crew: &Crew<()>, load: &Load) -> (mpsc::Sender<()>, Queued<(), ()>) {
        let (let_go, wait) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let queued = crew.queue(load, move |()| {
            begun.send(()).unwrap();
            let _ = wait.recv();
        });
        begins.recv_timeout(Duration::from_secs(10)).expect("it begins");
        (let_go, queued)
    }

    #[tokio::test]
    async fn a_panic_costs_one_job_and_the_thread_goes_on() {
        let crew = Crew::start("test", 0, vec![0u32], 10).unwrap();
        let count = |count: &mut u32| {
            *count += 1;
            *count
        };
        assert_eq!(crew.run(count).await.unwrap(), 1);
        assert!(crew.run(|_| panic!("one job")).await.is_err());
        assert!(crew.queue(&load("a", 10), |_| panic!("one job")).done().await.is_err());
        // Its memory came back.
        assert_eq!(crew.queue(&load("a", 10), count).done().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn jobs_run_on_all_threads_at_once() {
        let crew = Arc::new(Crew::start("test", 0, vec![(), ()], 1).unwrap());
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_waits_for_its_memory_and_short_ones_pass() {
        let crew = Crew::start("test", 0, vec![(), ()], 100).unwrap();
        let (let_go, mut first) = busy(&crew, &load("a", 60));
        let mut large = crew.queue(&load("a", u64::MAX), |()| ());
        let mut small = crew.queue(&load("a", 1), |()| ());
        crew.run(|()| ()).await.unwrap();
        assert!(large.answered.try_recv().is_err() && small.answered.try_recv().is_err());
        drop(let_go);
        first.done().await.unwrap();
        large.done().await.unwrap();
        small.done().await.unwrap();
        assert_eq!(crew.shared.queue().free_memory, 100);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_that_has_not_begun_is_taken_out_with_its_handle() {
        let crew = Crew::start("test", 0, vec![()], 1).unwrap();
        let (let_go, first) = busy(&crew, &load("a", 1));
        assert!(!first.withdraw(), "it has begun");
        let second = crew.queue(&load("a", 1), |()| panic!("it was withdrawn"));
        let mut third = crew.queue(&load("a", 1), |()| 3);
        drop(second);
        assert!(crew.queue(&load("a", 1), |()| ()).withdraw());
        drop(let_go);
        assert_eq!(third.done().await.unwrap(), 3);
        assert!(crew.shared.queue().large.first().is_none());
    }
}
