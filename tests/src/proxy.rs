//! A TCP proxy to Postgres with injectable faults: refused, stalled, half-open and cut connections, and cuts
//! at a commit.

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

/// The fault that the proxy injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Accepts connections and bytes, but forwards and answers nothing.
    Stall,
    /// Cuts a connection at every commit of rows: in turn before Postgres gets the commit and before its
    /// answer returns.
    CutCommits,
}

/// The state that all connections watch.
#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Connections of an earlier round are cut.
    cut: u64,
    /// Connections of an earlier round stay open and silent.
    dead: u64,
}

/// The proxy. It ends when it is dropped.
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
    /// Starts a proxy to a cluster.
    pub async fn to(cluster: &Cluster) -> Self {
        // No other program of this host binds this address, so the port stays free while connections are
        // refused.
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (state, _) = watch::channel(State { mode: Mode::Pass, cut: 0, dead: 0 });
        let (upstream, tally) = (cluster.socket(), Arc::<Tally>::default());
        let accepting = Mutex::new(accept(listener, upstream.clone(), state.clone(), Arc::clone(&tally)));
        Self { address, upstream, state, accepting, tally }
    }

    /// The URL of a database of the cluster through the proxy.
    pub fn url(&self, database_url: &str) -> String {
        let database = crate::postgres::name(database_url);
        format!("postgres://cxr@{}/{database}", self.address)
    }

    /// Refuses new connections and cuts existing ones.
    pub async fn refuse(&self) {
        let accepting = self.accepting.lock().await;
        accepting.abort();
        while !accepting.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.cut();
    }

    /// Accepts connections again after [`refuse`](Self::refuse).
    pub async fn listen(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        let (state, tally) = (self.state.clone(), Arc::clone(&self.tally));
        *self.accepting.lock().await = accept(listener, self.upstream.clone(), state, tally);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let round = self.next_round();
        self.state.send_modify(|state| state.cut = round);
    }

    /// Stalls both directions until [`pass`](Self::pass).
    pub fn stall(&self) {
        self.state.send_modify(|state| state.mode = Mode::Stall);
    }

    /// Cuts each connection that commits rows, so that the client cannot know whether the commit succeeded.
    pub fn cut_commits(&self) {
        self.state.send_modify(|state| state.mode = Mode::CutCommits);
    }

    /// Forwards everything again.
    pub fn pass(&self) {
        self.state.send_modify(|state| state.mode = Mode::Pass);
    }

    /// Forwards new connections; existing ones stay open and silent, as if the other host had disappeared.
    pub fn pass_new_connections(&self) {
        let round = self.next_round();
        self.state.send_modify(|state| *state = State { mode: Mode::Pass, dead: round, ..*state });
    }

    /// The numbers of commits that Postgres did not receive, and of commits whose answer was withheld.
    pub fn n_cut_commits(&self) -> (u64, u64) {
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
            tokio::spawn(connection.forward(client, upstream.clone()));
        }
    })
}

struct Connection {
    state: watch::Receiver<State>,
    round: u64,
    tally: Arc<Tally>,
}

impl Connection {
    /// Forwards bytes until either end closes or the connection is cut.
    async fn forward(self, client: TcpStream, upstream: PathBuf) {
        let (mut cut, round) = (self.state.clone(), self.round);
        let forwarded = async {
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
            () = forwarded => {}
            _ = cut.wait_for(|state| state.cut > round) => {}
        }
    }

    /// Waits while the proxy stalls (for ever on a dead connection) and returns the mode after that.
    async fn passes(&self) -> Mode {
        let mut state = self.state.clone();
        let round = self.round;
        let found = state.wait_for(|state| state.mode != Mode::Stall && state.dead <= round).await;
        let Ok(mode) = found.map(|state| state.mode) else { std::future::pending().await };
        mode
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
                // During a stall, the close of the client must not arrive before its data.
                self.passes().await;
                return;
            }
            messages.receive(&piece[..n]);
            while let Some(batch) = messages.next() {
                if self.passes().await == Mode::CutCommits && batch.commits {
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

    /// After `mute`, the next message from Postgres is its answer to the commit: it is withheld and the
    /// connection ends.
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
