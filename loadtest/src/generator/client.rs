//! The clients: HTTP/1.1 with kept-alive connections and bodies made beforehand, on one thread, so that it costs little.

use super::traffic::{Cpu, Measurement, Traffic, Window, arrivals};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet, spawn_local};

/// A refused client of the closed loop waits so long before it asks again, so that refusing is not what is measured.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// After the window, open requests are waited for so long; then they count as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where and what to ask.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    path: Uri,
    headers: HeaderMap,
    bodies: Vec<Bytes>,
    next: Cell<usize>,
}

impl Target {
    /// Prepares the requests: forms of images, sent with a token to a path.
    pub(crate) fn new(
        address: SocketAddr,
        path: &str,
        token: &str,
        (bodies, media_type): (Vec<Bytes>, String),
    ) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&address.to_string())?);
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&media_type)?);
        Ok(Self { address, path: path.parse()?, headers, bodies, next: Cell::new(0) })
    }

    /// Where.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let body = self.bodies[self.next.replace(self.next.get() + 1) % self.bodies.len()].clone();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        Ok(sender)
    }

    /// The status and the text of one answer; for what is not measured.
    pub(crate) async fn ask_once(&self) -> Result<(u16, String)> {
        let mut connection = self.connect().await.context("no connection")?;
        let response = connection.send_request(self.request()).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Status of one exchange; 0 when it broke.
async fn exchange(connection: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> u16 {
    let answer = async {
        connection.ready().await?;
        let response: Response<Incoming> = connection.send_request(request).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            drop(frame?);
        }
        Ok::<u16, hyper::Error>(status)
    };
    answer.await.unwrap_or(0)
}

/// Counts what ends inside the window.
struct Tally {
    from: Instant,
    to: Instant,
    found: RefCell<Measurement>,
}

impl Tally {
    fn count(&self, status: u16, since: Instant, decides: Instant) {
        if decides < self.from || decides >= self.to {
            return;
        }
        let mut found = self.found.borrow_mut();
        match status {
            200 => found.record(since.elapsed()),
            429 | 503 => found.refused += 1,
            _ => found.failed += 1,
        }
    }
}

/// Puts the traffic on the target for the whole window; `begin` and `end` are called at the edges of what
/// counts.
pub(crate) async fn put(
    target: Rc<Target>,
    traffic: Traffic,
    window: Window,
    begin: impl FnOnce() -> Result<Cpu>,
    end: impl FnOnce() -> Result<Cpu>,
) -> Result<Measurement> {
    let start = Instant::now();
    let tally = Rc::new(Tally {
        from: start + window.warm(),
        to: start + window.whole(),
        found: RefCell::new(Measurement::new(window.seconds)),
    });
    let local = LocalSet::new();
    let edges = async {
        tokio::time::sleep_until(tally.from.into()).await;
        let before = begin()?;
        tokio::time::sleep_until(tally.to.into()).await;
        Ok::<Cpu, anyhow::Error>(end()?.since(before))
    };
    let work = async {
        match traffic {
            Traffic::Closed { clients } => closed(&target, clients, &tally).await,
            Traffic::Open { rate, seed } => open(&target, &arrivals(rate, seed, window), start, &tally).await,
        }
    };
    let (spent, ()) = local.run_until(async { tokio::join!(edges, work) }).await;
    let mut found = tally.found.borrow().clone();
    found.cpu = spent?;
    Ok(found)
}

async fn closed(target: &Rc<Target>, clients: usize, tally: &Rc<Tally>) {
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn_local(client(Rc::clone(target), Rc::clone(tally)));
    }
    // An answer that never comes must not hold the benchmark.
    let deadline = tally.to + PATIENCE;
    let _ = tokio::time::timeout_at(deadline.into(), async { while running.join_next().await.is_some() {} })
        .await;
}

/// One client of the closed loop: what counts is when the answer arrived.
async fn client(target: Rc<Target>, tally: Rc<Tally>) {
    let mut connection = None;
    while Instant::now() < tally.to {
        let since = Instant::now();
        let status = match connection.take() {
            Some(open) => ask(&target, &mut connection, open).await,
            None => match target.connect().await {
                Ok(open) => ask(&target, &mut connection, open).await,
                Err(_) => 0,
            },
        };
        tally.count(status, since, Instant::now());
        if status != 200 {
            tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
        }
    }
}

/// Asks on an open connection, and keeps it where it may be used again.
async fn ask(
    target: &Target,
    keep: &mut Option<SendRequest<Full<Bytes>>>,
    mut open: SendRequest<Full<Bytes>>,
) -> u16 {
    let status = exchange(&mut open, target.request()).await;
    if status != 0 && !open.is_closed() {
        *keep = Some(open);
    }
    status
}

/// Sends each request at its time, on a free connection or a new one. Latency counts from the intended time, so that
/// waiting behind others is not hidden; a request counts when it was due inside the window.
async fn open(target: &Rc<Target>, arrivals: &[Duration], start: Instant, tally: &Rc<Tally>) {
    let (due, mut next) = tokio::sync::mpsc::unbounded_channel();
    let times: Vec<Instant> = arrivals.iter().map(|after| start + *after).collect();
    // A thread's sleep is precise to some ten microseconds; tokio's timers only to a millisecond.
    std::thread::spawn(move || {
        for time in times {
            std::thread::sleep(time.saturating_duration_since(Instant::now()));
            if due.send(time).is_err() {
                return;
            }
        }
    });
    let idle: Rc<RefCell<Vec<SendRequest<Full<Bytes>>>>> = Rc::default();
    let mut running = JoinSet::new();
    while let Some(time) = next.recv().await {
        let (target, tally, idle) = (Rc::clone(target), Rc::clone(tally), Rc::clone(&idle));
        running.spawn_local(async move {
            let mut keep = None;
            // The server closes a connection that was idle for long.
            let free = std::iter::from_fn(|| idle.borrow_mut().pop()).find(|free| !free.is_closed());
            let status = match free {
                Some(open) => ask(&target, &mut keep, open).await,
                None => match target.connect().await {
                    Ok(open) => ask(&target, &mut keep, open).await,
                    Err(_) => 0,
                },
            };
            tally.count(status, time, time);
            idle.borrow_mut().extend(keep);
        });
    }
    let deadline = tally.to + PATIENCE;
    let _ = tokio::time::timeout_at(deadline.into(), async { while running.join_next().await.is_some() {} })
        .await;
    let n_unanswered = running.len() as u64;
    tally.found.borrow_mut().failed += n_unanswered;
}
