//! A TCP proxy that cuts connections when a test wants it to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// PostgreSQL's message for a `COMMIT` without parameters. A client waits for an answer before it sends one, so
/// that it is the last of what has been received.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// When a connection that commits is cut. Both look the same to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the `COMMIT`.
    BeforeCommit,
    /// The server has done it, and its answer is lost.
    AfterCommit,
}

/// Forwards the connections that it accepts on a free port of 127.0.0.1; with the proxy, they end.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    /// Connections end when it changes.
    cut: watch::Sender<()>,
    before: AtomicUsize,
    after: AtomicUsize,
}

impl Proxy {
    /// Listens; `target` is `HOST:PORT` of the server.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (before, after) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { target: target.to_owned(), cut: watch::Sender::new(()), before, after });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _accepting: accepting }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections that are open now.
    pub fn cut_all(&self) {
        self.shared.cut.send_replace(());
    }

    /// Cuts the next connection that commits; called twice, the next two.
    pub fn cut_next_commit(&self, cut: Cut) {
        self.shared.counter(cut).fetch_add(1, Ordering::SeqCst);
    }

    /// The commits that are still to be cut.
    pub fn cuts_left(&self) -> usize {
        self.shared.before.load(Ordering::SeqCst) + self.shared.after.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn counter(&self, cut: Cut) -> &AtomicUsize {
        match cut {
            Cut::BeforeCommit => &self.before,
            Cut::AfterCommit => &self.after,
        }
    }

    /// Takes one of the cuts that were asked for.
    fn take(&self, cut: Cut) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.counter(cut).fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }
}

/// A server that is not there looks to the client like a connection that is closed at once.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (shared, mut cut) = (Arc::clone(&shared), shared.cut.subscribe());
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(&shared.target).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            tokio::select! {
                () = forward(client, server, &shared) => {}
                _ = cut.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Forwards in both directions until one side closes, or a commit is cut.
async fn forward(client: TcpStream, server: TcpStream, shared: &Shared) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => return,
        cut = requests(&mut from_client, &mut to_server, shared) => if cut != Some(Cut::AfterCommit) { return },
    }
    drop((from_client, to_client));
    // Closing without reading could reset the connection before the server has read what was sent.
    let _ = to_server.shutdown().await;
    let _ = tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await;
}

async fn requests(client: &mut OwnedReadHalf, server: &mut OwnedWriteHalf, shared: &Shared) -> Option<Cut> {
    let mut buffer = vec![0; 64 * 1024];
    // The last bytes, for a message that comes in two pieces.
    let mut tail = Vec::new();
    loop {
        let received = client.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        let received = &buffer[..received];
        tail.extend_from_slice(&received[received.len().saturating_sub(COMMIT.len())..]);
        tail.drain(..tail.len().saturating_sub(COMMIT.len()));
        let commits = tail == COMMIT;
        if commits && shared.take(Cut::BeforeCommit) {
            return Some(Cut::BeforeCommit);
        }
        server.write_all(received).await.ok()?;
        if commits && shared.take(Cut::AfterCommit) {
            return Some(Cut::AfterCommit);
        }
    }
}
