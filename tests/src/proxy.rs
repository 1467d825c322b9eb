//! A line to Postgres that can be broken in every way a line breaks: refused, stalled, gone dead, cut, cut at a commit.

use crate::postgres::Cluster;
use crate::wire::Client;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// What the line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Passes,
    /// Takes what is sent and says nothing, to new connections as well.
    Stalls,
    /// Cuts a connection at every commit of rows: one before Postgres gets it, the next before its answer comes back.
    CutsCommits,
}

/// The state that connections watch.
#[derive(Debug, Clone, Copy)]
struct State {
    line: Line,
    /// Connections of an earlier round than this are cut.
    cut: u64,
    /// Connections of an earlier round than this never say anything again.
    dead: u64,
}

/// The line. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    upstream: PathBuf,
    state: watch::Sender<State>,
    accepting: Mutex<JoinHandle<()>>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    round: AtomicU64,
    n_lost: AtomicU64,
    n_unconfirmed: AtomicU64,
}

impl Proxy {
    /// In front of a cluster.
    pub async fn to(cluster: &Cluster) -> Self {
        // An address of its own, from which nothing on this host connects: nobody takes the port while it is refused.
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (state, _) = watch::channel(State { line: Line::Passes, cut: 0, dead: 0 });
        let (upstream, tally) = (cluster.socket(), Arc::<Tally>::default());
        let accepting = Mutex::new(accept(listener, upstream.clone(), state.clone(), Arc::clone(&tally)));
        Self { address, upstream, state, accepting, tally }
    }

    /// The URL of a database of the cluster over this line.
    pub fn url(&self, database_url: &str) -> String {
        let database = crate::postgres::name(database_url);
        format!("postgres://cxr@{}/{database}", self.address)
    }

    /// Refuses connections; those that exist are cut.
    pub async fn refuse(&self) {
        let accepting = self.accepting.lock().await;
        accepting.abort();
        while !accepting.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.cut();
    }

    /// Takes connections again after [`refuse`](Self::refuse).
    pub async fn listen(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still ours");
        let (state, tally) = (self.state.clone(), Arc::clone(&self.tally));
        *self.accepting.lock().await = accept(listener, self.upstream.clone(), state, tally);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let round = self.next_round();
        self.state.send_modify(|state| state.cut = round);
    }

    /// Stalls in both directions until [`pass`](Self::pass).
    pub fn stall(&self) {
        self.state.send_modify(|state| state.line = Line::Stalls);
    }

    /// Cuts each connection that commits rows, so that the client cannot know whether it did.
    pub fn cut_commits(&self) {
        self.state.send_modify(|state| state.line = Line::CutsCommits);
    }

    /// Passes everything again.
    pub fn pass(&self) {
        self.state.send_modify(|state| state.line = Line::Passes);
    }

    /// New connections pass; what was connected until now never says anything again, and is not closed either: the other end
    /// of it has gone.
    pub fn pass_new_ones(&self) {
        let round = self.next_round();
        self.state.send_modify(|state| *state = State { line: Line::Passes, dead: round, ..*state });
    }

    /// Commits that Postgres never got, and commits whose answer was held back.
    pub fn cut_commits_so_far(&self) -> (u64, u64) {
        let of = |tally: &AtomicU64| tally.load(Ordering::Relaxed);
        (of(&self.tally.n_lost), of(&self.tally.n_unconfirmed))
    }

    fn next_round(&self) -> u64 {
        self.tally.round.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.get_mut().abort();
        self.cut();
    }
}

fn accept(
    listener: TcpListener,
    upstream: PathBuf,
    state: watch::Sender<State>,
    tally: Arc<Tally>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let _ = client.set_nodelay(true);
            let round = tally.round.load(Ordering::Relaxed);
            let connection = Connection { state: state.subscribe(), round, tally: Arc::clone(&tally) };
            tokio::spawn(connection.carry(client, upstream.clone()));
        }
    })
}

struct Connection {
    state: watch::Receiver<State>,
    round: u64,
    tally: Arc<Tally>,
}

impl Connection {
    /// Carries bytes until either end closes or the line is cut.
    async fn carry(self, client: TcpStream, upstream: PathBuf) {
        let (mut cut, round) = (self.state.clone(), self.round);
        let carried = async {
            self.passes().await;
            let Ok(server) = UnixStream::connect(upstream).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let (muted, mute) = watch::channel(false);
            tokio::select! {
                () = self.up(from_client, to_server, muted) => {}
                () = self.down(from_server, to_client, mute) => {}
            }
        };
        tokio::select! {
            () = carried => {}
            _ = cut.wait_for(|state| state.cut > round) => {}
        }
    }

    /// Waits while the line stalls; for ever on a dead one. What it does then.
    async fn passes(&self) -> Line {
        let mut state = self.state.clone();
        let round = self.round;
        let found = state.wait_for(|state| state.line != Line::Stalls && state.dead <= round).await;
        let Ok(line) = found.map(|state| state.line) else { std::future::pending().await };
        line
    }

    async fn up(
        &self,
        mut client: impl AsyncRead + Unpin,
        mut server: impl AsyncWrite + Unpin,
        muted: watch::Sender<bool>,
    ) {
        let (mut piece, mut messages) = (vec![0; 1 << 16], Client::default());
        loop {
            let n = client.read(&mut piece).await.unwrap_or(0);
            if n == 0 {
                // What a stalled line holds arrives before the news that its sender has gone.
                self.passes().await;
                return;
            }
            messages.receive(&piece[..n]);
            while let Some(batch) = messages.next() {
                if self.passes().await == Line::CutsCommits && batch.commits {
                    let lost = self.tally.n_lost.load(Ordering::Relaxed);
                    if lost <= self.tally.n_unconfirmed.load(Ordering::Relaxed) {
                        self.tally.n_lost.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    self.tally.n_unconfirmed.fetch_add(1, Ordering::Relaxed);
                    muted.send_replace(true);
                }
                if server.write_all(&batch.bytes).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Once muted, the next that Postgres says is its answer to the commit: the line ends with it.
    async fn down(
        &self,
        mut server: impl AsyncRead + Unpin,
        mut client: impl AsyncWrite + Unpin,
        mute: watch::Receiver<bool>,
    ) {
        let mut piece = vec![0; 1 << 16];
        loop {
            let n = server.read(&mut piece).await.unwrap_or(0);
            if n == 0 || *mute.borrow() {
                return;
            }
            self.passes().await;
            if client.write_all(&piece[..n]).await.is_err() {
                return;
            }
        }
    }
}
