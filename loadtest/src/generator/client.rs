//! The clients: HTTP/1.1, persistent connections and prepared bodies, on one thread to save processor time.

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

/// A refused client of the closed loop waits this long, so that the measurement is not dominated by refusals.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// How long to wait for unfinished requests after the window before they count as failed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

type Sender = SendRequest<Full<Bytes>>;

#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    path: Uri,
    headers: HeaderMap,
    bodies: Vec<Bytes>,
    next: Cell<usize>,
}

impl Target {
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

    async fn connect(&self) -> Result<Sender> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        Ok(sender)
    }

    /// Sends one request outside of measurements. Returns the status and the text of the answer.
    pub(crate) async fn ask_once(&self) -> Result<(u16, String)> {
        let mut connection = self.connect().await.context("no connection")?;
        let response = connection.send_request(self.request()).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Status of one exchange; 0 if the connection broke.
async fn exchange(connection: &mut Sender, request: Request<Full<Bytes>>) -> u16 {
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

/// Loads the target for the whole window; calls `begin` and `end` around its measured part.
pub(crate) async fn run(
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
    drain(&mut running, tally).await;
}

/// Waits for unfinished requests; a missing answer must not block the benchmark.
async fn drain(running: &mut JoinSet<()>, tally: &Tally) {
    let ended = async { while running.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at((tally.to + DRAIN_TIMEOUT).into(), ended).await;
}

/// One client of the closed loop. Answers count if they arrive inside the window.
async fn client(target: Rc<Target>, tally: Rc<Tally>) {
    let mut connection = None;
    while Instant::now() < tally.to {
        let since = Instant::now();
        let status = ask(&target, &mut connection).await;
        tally.count(status, since, Instant::now());
        if status != 200 {
            tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
        }
    }
}

/// Sends a request on the connection or a new one, and keeps the connection if it can be reused.
async fn ask(target: &Target, connection: &mut Option<Sender>) -> u16 {
    let open = match connection.take() {
        Some(open) => Ok(open),
        None => target.connect().await,
    };
    let Ok(mut open) = open else { return 0 };
    let status = exchange(&mut open, target.request()).await;
    if status != 0 && !open.is_closed() {
        *connection = Some(open);
    }
    status
}

/// Sends requests at their times. Latency counts from the intended time, so that queueing is not hidden.
async fn open(target: &Rc<Target>, arrivals: &[Duration], start: Instant, tally: &Rc<Tally>) {
    let (due, mut next) = tokio::sync::mpsc::unbounded_channel();
    let times: Vec<Instant> = arrivals.iter().map(|after| start + *after).collect();
    // A thread sleeps with a precision of some 10 µs; tokio's timers only with 1 ms.
    std::thread::spawn(move || {
        for time in times {
            std::thread::sleep(time.saturating_duration_since(Instant::now()));
            if due.send(time).is_err() {
                return;
            }
        }
    });
    let idle: Rc<RefCell<Vec<Sender>>> = Rc::default();
    let mut running = JoinSet::new();
    while let Some(time) = next.recv().await {
        let (target, tally, idle) = (Rc::clone(target), Rc::clone(tally), Rc::clone(&idle));
        running.spawn_local(async move {
            // The server closes connections that have been idle for long.
            let mut connection =
                std::iter::from_fn(|| idle.borrow_mut().pop()).find(|free| !free.is_closed());
            let status = ask(&target, &mut connection).await;
            tally.count(status, time, time);
            idle.borrow_mut().extend(connection);
        });
    }
    drain(&mut running, tally).await;
    tally.found.borrow_mut().failed += running.len() as u64;
}

/// The boundary; it occurs in no image.
const BOUNDARY: &str = "cxr-bench-7MA4YWxkTrZu0gW";

/// Images as `multipart/form-data` bodies declared as JPEG (servers detect the format), and the media type.
pub(crate) fn forms(images: &[Bytes]) -> (Vec<Bytes>, String) {
    let form = |image: &Bytes| {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"image.jpeg\"\r\n\
             Content-Type: image/jpeg\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        [head.as_bytes(), image, tail.as_bytes()].concat().into()
    };
    (images.iter().map(form).collect(), format!("multipart/form-data; boundary={BOUNDARY}"))
}
