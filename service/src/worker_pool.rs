//! A pool of threads for jobs that compute for milliseconds to seconds. A panic fails one job and not its
//! thread.
//!
//! Short jobs run first, in order. A large job waits for its client's turn (see `turns`) and for memory,
//! which is reserved before it is allocated, because a failed allocation aborts the process. The queue needs
//! no bound: admission bounds the number of jobs.

mod turns;

use crate::threads::{JobLost, spawn};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use turns::{Position, Turns};

/// Work of the smallest image, in bytes of pixels.
const MIN_WORK: u64 = 256 << 10;
/// Decompressing a byte takes about as long as touching this many bytes of pixels.
const WORK_PER_BYTE: u64 = 4;

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// A handle to threads that each own a workspace `W`. When it is dropped, they finish the queue and end.
pub struct WorkerPool<W> {
    shared: Arc<Shared<W>>,
    memory: u64,
}

struct Shared<W> {
    queue: Mutex<Queue<W>>,
    /// Notified when a job arrives, memory is released or the pool ends.
    changed: Condvar,
}

struct Queue<W> {
    short: VecDeque<Job<W>>,
    large: Turns<(u64, Job<W>)>,
    free_memory: u64,
    ended: bool,
}

/// The resources that a large job takes.
#[derive(Debug, Clone)]
pub struct Load {
    pub client: Arc<str>,
    /// Bytes that it may allocate; capped to the memory of the pool.
    pub memory: u64,
    /// Processor time that it may take, in bytes of pixels touched.
    pub work: u64,
}

impl Load {
    /// The load of decoding an upload of `upload` bytes that needs `memory` bytes.
    pub fn decoding(client: &str, upload: usize, memory: u64) -> Self {
        let upload = WORK_PER_BYTE.saturating_mul(upload as u64);
        Self { client: client.into(), memory, work: MIN_WORK.saturating_add(memory).saturating_add(upload) }
    }
}

/// A large job in the queue. Dropping it cancels the job unless it has begun.
pub struct Queued<T, W> {
    result: oneshot::Receiver<T>,
    position: Position,
    shared: Arc<Shared<W>>,
}

impl<W: Send + 'static> WorkerPool<W> {
    /// Starts one thread per workspace. Large jobs share `memory` bytes.
    pub fn start(name: &str, niceness: i32, workspaces: Vec<W>, memory: u64) -> std::io::Result<Self> {
        let queue = Queue { short: VecDeque::new(), large: Turns::new(), free_memory: memory, ended: false };
        let pool =
            Self { shared: Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() }), memory };
        for (index, workspace) in workspaces.into_iter().enumerate() {
            let shared = Arc::clone(&pool.shared);
            spawn(format!("{name}-{index}"), niceness, move || shared.work(workspace))?;
        }
        Ok(pool)
    }

    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// Runs a short job on the next free thread.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Result<T, JobLost> {
        let (job, result) = boxed(job);
        self.shared.queue().short.push_back(job);
        self.shared.changed.notify_one();
        result.await.map_err(|_| JobLost)
    }

    /// Queues a large job, which runs once its client's turn has come and its memory is free.
    pub fn queue<T: Send + 'static>(
        &self,
        load: &Load,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Queued<T, W> {
        let (job, result) = boxed(job);
        let memory = load.memory.min(self.memory);
        let position = self.shared.queue().large.push(&load.client, load.work, (memory, job));
        self.shared.changed.notify_one();
        Queued { result, position, shared: Arc::clone(&self.shared) }
    }
}

impl<W> Drop for WorkerPool<W> {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.changed.notify_all();
    }
}

impl<T, W> Queued<T, W> {
    pub async fn done(&mut self) -> Result<T, JobLost> {
        (&mut self.result).await.map_err(|_| JobLost)
    }

    /// Takes the job out of the queue; false if it has begun.
    pub fn cancel(&self) -> bool {
        let cancelled = self.shared.queue().large.remove(self.position);
        if cancelled.is_some() {
            // The next job may fit into the free memory.
            self.shared.changed.notify_one();
        }
        cancelled.is_some()
    }
}

impl<T, W> Drop for Queued<T, W> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<W> Shared<W> {
    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut workspace: W) {
        while let Some((memory, job)) = self.next() {
            // The panic hook has logged it; the job's sender is dropped, so the caller gets `JobLost`.
            drop(catch_unwind(AssertUnwindSafe(|| job(&mut workspace))));
            if memory > 0 {
                self.queue().free_memory += memory;
                // Several jobs may have waited for memory.
                self.changed.notify_all();
            }
        }
    }

    /// Waits for a job and reserves its memory; none once the pool has ended and the queue is empty.
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

fn boxed<W, T: Send + 'static>(
    job: impl FnOnce(&mut W) -> T + Send + 'static,
) -> (Job<W>, oneshot::Receiver<T>) {
    let (sender, result) = oneshot::channel();
    // The caller may have stopped waiting.
    (Box::new(move |workspace| drop(sender.send(job(workspace)))), result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    fn load(client: &str, memory: u64) -> Load {
        Load { client: client.into(), memory, work: 1 }
    }

    /// Occupies a thread until the sender is dropped.
    fn busy(pool: &WorkerPool<()>, load: &Load) -> (mpsc::Sender<()>, Queued<(), ()>) {
        let (release, wait) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let queued = pool.queue(load, move |()| {
            begun.send(()).unwrap();
            let _ = wait.recv();
        });
        begins.recv_timeout(Duration::from_secs(10)).expect("it begins");
        (release, queued)
    }

    #[tokio::test]
    async fn a_panic_fails_one_job_and_the_thread_goes_on() {
        let pool = WorkerPool::start("test", 0, vec![0u32], 10).unwrap();
        let count = |count: &mut u32| {
            *count += 1;
            *count
        };
        assert_eq!(pool.run(count).await.unwrap(), 1);
        assert!(pool.run(|_| panic!("one job")).await.is_err());
        assert!(pool.queue(&load("a", 10), |_| panic!("one job")).done().await.is_err());
        // Its memory came back.
        assert_eq!(pool.queue(&load("a", 10), count).done().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn jobs_run_on_all_threads_at_once() {
        let pool = WorkerPool::start("test", 0, vec![(), ()], 1).unwrap();
        let both = Arc::new(std::sync::Barrier::new(2));
        let job = || {
            let both = Arc::clone(&both);
            pool.run(move |()| both.wait().is_leader())
        };
        let (one, other) = tokio::join!(job(), job());
        assert_ne!(one.unwrap(), other.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_waits_for_its_memory_and_short_ones_pass() {
        let pool = WorkerPool::start("test", 0, vec![(), ()], 100).unwrap();
        let (release, mut first) = busy(&pool, &load("a", 60));
        let mut large = pool.queue(&load("a", u64::MAX), |()| ());
        let mut small = pool.queue(&load("a", 1), |()| ());
        pool.run(|()| ()).await.unwrap();
        assert!(large.result.try_recv().is_err() && small.result.try_recv().is_err());
        drop(release);
        first.done().await.unwrap();
        large.done().await.unwrap();
        small.done().await.unwrap();
        // A thread gives memory back after it has handed over the result.
        let deadline = Instant::now() + Duration::from_secs(10);
        while pool.shared.queue().free_memory < 100 && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.shared.queue().free_memory, 100);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn dropping_the_handle_cancels_a_job_that_has_not_begun() {
        let pool = WorkerPool::start("test", 0, vec![()], 1).unwrap();
        let (release, first) = busy(&pool, &load("a", 1));
        assert!(!first.cancel(), "it has begun");
        let second = pool.queue(&load("a", 1), |()| panic!("it was cancelled"));
        let mut third = pool.queue(&load("a", 1), |()| 3);
        drop(second);
        assert!(pool.queue(&load("a", 1), |()| ()).cancel());
        drop(release);
        assert_eq!(third.done().await.unwrap(), 3);
        assert!(pool.shared.queue().large.first().is_none());
    }
}
