//! The bare loop: threads that take requests, decode, preprocess and run their session.

use super::{Cell, LimitArgs, Order, Reply};
use crate::bench::accounting::{cpu_seconds, host_busy_seconds, resident_bytes};
use crate::bench::model;
use crate::generator::{Cpu, Traffic, Window, arrivals};
use anyhow::{Context, Result};
use bytes::Bytes;
use cxr::bundle::Bundle;
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess;
use cxr::{AcceptedImage, DecodeLimits};
use runtime::{Runtime, Session, SessionOptions};
use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Executes orders from standard input until its end.
pub fn serve(args: &LimitArgs) -> Result<ExitCode> {
    let bundle = model::open(&args.bundle)?;
    let images = unpack(&args.images)?;
    let library = std::env::var_os("ORT_DYLIB_PATH")
        .context("ORT_DYLIB_PATH is not set: scripts/onnxruntime.sh prints it")?;
    let runtime = Runtime::load(Path::new(&library))?;
    let mut sessions = Vec::new();
    let mut batch = 1;
    for line in std::io::stdin().lock().lines() {
        let reply = match serde_json::from_str(&line?)? {
            Order::Prepare(cell) => {
                sessions.clear();
                batch = cell.batch;
                open(&runtime, &bundle, &args.variant, cell).map(|opened| {
                    sessions = opened;
                    Reply::Prepared
                })
            }
            Order::Run { traffic, window } => {
                let inputs = Inputs { images: &images, bundle: &bundle, variant: &args.variant, batch };
                inputs.run(&mut sessions, traffic, window)
            }
        };
        let reply = reply.unwrap_or_else(|error| Reply::Failed(format!("{error:#}")));
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reply)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the images one after the other, each after its length.
pub(in crate::bench) fn pack(images: &[Bytes], path: &Path) -> Result<()> {
    let mut file = Vec::new();
    for image in images {
        file.extend((image.len() as u64).to_le_bytes());
        file.extend_from_slice(image);
    }
    std::fs::write(path, file).with_context(|| format!("{}: cannot be written", path.display()))
}

fn unpack(path: &Path) -> Result<Vec<Bytes>> {
    let file = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut rest = Bytes::from(file);
    let mut images = Vec::new();
    while let Some((length, _)) = rest.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length) as usize;
        anyhow::ensure!(rest.len() >= 8 + length, "{}: ends inside an image", path.display());
        images.push(rest.slice(8..8 + length));
        rest = rest.slice(8 + length..);
    }
    anyhow::ensure!(!images.is_empty(), "{}: holds no image", path.display());
    Ok(images)
}

fn open(runtime: &Runtime, bundle: &Bundle, variant: &str, cell: Cell) -> Result<Vec<Session>> {
    let (_, variant) = bundle.variant(Some(variant))?;
    let graph = bundle.file(&variant.file).context("the bundle lacks its graph")?;
    let options = SessionOptions {
        intra_threads: cell.intra_threads,
        spinning: cell.spinning,
        precision: variant.precision.clone(),
        ..SessionOptions::default()
    };
    let session = |_| Ok(runtime.session(graph, &bundle.manifest().model, &options)?);
    (0..cell.sessions).map(session).collect()
}

/// The source of requests. A request is the moment from which its latency counts.
enum Source {
    Closed(Mutex<VecDeque<Instant>>),
    Open(Mutex<VecDeque<Instant>>),
}

impl Source {
    /// Takes up to `most` requests; none at the end (open) or while all clients are being served (closed).
    fn take(&self, most: usize) -> Vec<Instant> {
        match self {
            Self::Closed(waiting) => {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let n = most.min(waiting.len());
                waiting.drain(..n).collect()
            }
            Self::Open(coming) => {
                // The thread with the lock waits for the next arrival; the others wait for the lock.
                let mut coming = coming.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(first) = coming.pop_front() else { return Vec::new() };
                std::thread::sleep(first.saturating_duration_since(Instant::now()));
                let mut taken = vec![first];
                while taken.len() < most && coming.front().is_some_and(|at| *at <= Instant::now()) {
                    taken.extend(coming.pop_front());
                }
                taken
            }
        }
    }

    /// The clients of `n` requests send the next ones.
    fn give_back(&self, n: usize) {
        if let Self::Closed(waiting) = self {
            waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(vec![Instant::now(); n]);
        }
    }
}

struct Inputs<'a> {
    images: &'a [Bytes],
    bundle: &'a Bundle,
    variant: &'a str,
    batch: usize,
}

impl Inputs<'_> {
    fn run(&self, sessions: &mut [Session], traffic: Traffic, window: Window) -> Result<Reply> {
        let start = Instant::now();
        let (from, to) = (start + window.warm(), start + window.whole());
        let source = match traffic {
            Traffic::Closed { clients } => Source::Closed(Mutex::new(vec![start; clients].into())),
            Traffic::Open { rate, seed } => {
                let times = arrivals(rate, seed, window).into_iter().map(|after| start + after);
                Source::Open(Mutex::new(times.collect()))
            }
        };
        let (latencies, cpu) = std::thread::scope(|scope| -> Result<(Vec<u64>, Cpu)> {
            let source = &source;
            let work =
                |(worker, session)| scope.spawn(move || self.work(worker, session, source, (from, to)));
            let workers: Vec<_> = sessions.iter_mut().enumerate().map(work).collect();
            let now = || -> Result<Cpu> {
                let contestant = cpu_seconds(std::process::id())?;
                Ok(Cpu { contestant, host: host_busy_seconds()?, ..Cpu::default() })
            };
            std::thread::sleep(from.saturating_duration_since(Instant::now()));
            let before = now()?;
            std::thread::sleep(to.saturating_duration_since(Instant::now()));
            let cpu = now()?.since(before);
            let mut latencies = Vec::new();
            for worker in workers {
                latencies.extend(worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??);
            }
            Ok((latencies, cpu))
        })?;
        Ok(Reply::Ran { latencies_us: latencies, cpu, resident_bytes: resident_bytes(std::process::id())? })
    }

    /// One thread. Returns latencies in µs of images that end (closed) or were due (open) inside the window.
    fn work(
        &self,
        worker: usize,
        session: &mut Session,
        source: &Source,
        (from, to): (Instant, Instant),
    ) -> Result<Vec<u64>> {
        let fixed_batch = self.bundle.variant(Some(self.variant))?.1.fixed_batch.map(|n| n as usize);
        let mut latencies = Vec::new();
        // Every thread starts at another image.
        let mut images = self.images.iter().cycle().skip(worker * self.images.len() / 2);
        let mut pixels = Vec::new();
        loop {
            let open = matches!(source, Source::Open(_));
            if !open && Instant::now() >= to {
                return Ok(latencies);
            }
            let requests = source.take(fixed_batch.unwrap_or(self.batch));
            if requests.is_empty() {
                if open {
                    return Ok(latencies);
                }
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            pixels.clear();
            for bytes in images.by_ref().take(requests.len()) {
                self.prepare(bytes, &mut pixels)?;
            }
            let n = fixed_batch.unwrap_or(requests.len());
            pixels.resize(pixels.len() / requests.len() * n, 0);
            session.run(&pixels, n)?;
            let end = Instant::now();
            for request in &requests {
                let decides = if open { *request } else { end };
                if decides >= from && decides < to {
                    latencies.push((end - *request).as_micros() as u64);
                }
            }
            source.give_back(requests.len());
        }
    }

    fn prepare(&self, bytes: &[u8], pixels: &mut Vec<u8>) -> Result<()> {
        let manifest = self.bundle.manifest();
        let image = cxr::decode(bytes, &DecodeLimits::default())?;
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &manifest.acceptance)?;
        pixels.extend_from_slice(preprocess(&accepted, &manifest.preprocess).pixels());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_images_are_unpacked_unchanged() {
        let path = std::env::temp_dir().join(format!("cxr-pack-{}", std::process::id()));
        let images = [Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        pack(&images, &path).unwrap();
        assert_eq!(unpack(&path).unwrap(), images);
        std::fs::write(&path, [9, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert!(unpack(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_closed_source_reuses_its_clients_and_an_open_source_ends() {
        let now = Instant::now();
        let closed = Source::Closed(Mutex::new(vec![now; 3].into()));
        assert_eq!(closed.take(2).len(), 2);
        assert_eq!(closed.take(2).len(), 1);
        assert!(closed.take(2).is_empty());
        closed.give_back(2);
        assert_eq!(closed.take(8).len(), 2);
        let open = Source::Open(Mutex::new([now, now, now + Duration::from_millis(20)].into()));
        assert_eq!(open.take(8), [now, now], "only what has arrived");
        assert_eq!(open.take(8), [now + Duration::from_millis(20)]);
        assert!(Instant::now() >= now + Duration::from_millis(20) && open.take(8).is_empty());
    }
}
