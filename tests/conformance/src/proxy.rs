//! A TCP proxy that cuts connections when a test wants it to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the messages of PostgreSQL and of MySQL end that commit, and, of a search engine, the position of a lane, which is
/// written last. A client waits for an answer before it sends one, so that it is the last of what has been received.
const COMMITS: [&[u8]; 3] = [b"Q\0\0\0\x0bCOMMIT\0", b"; COMMIT", b":\"first\"}"];
const LONGEST_COMMIT: usize = 12;

/// When a connection that commits is cut. Both look the same to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    BeforeCommit,
    /// The server has done it, and its answer is lost.
    AfterCommit,
}

/// Whose bytes are lost when connections are cut at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// What a client sends.
    Request,
    /// What the server answers: it has done what it was asked for.
    Answer,
}

/// When all connections are to be cut.
#[derive(Debug, Clone, Copy)]
struct Moment {
    lost: Lost,
    /// How many pieces of that direction still pass.
    left: usize,
    /// What becomes of connections that are made afterwards.
    then: Serving,
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// They are forwarded.
    Forward,
    /// They are closed at once.
    Refuse,
    /// They are accepted, and nothing is ever answered.
    Stall,
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
    moment: Mutex<Option<Moment>>,
    serving: Mutex<Serving>,
}

impl Proxy {
    /// Listens; `target` is `HOST:PORT` of the server.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            cut: watch::Sender::new(()),
            before: AtomicUsize::default(),
            after: AtomicUsize::default(),
            moment: Mutex::default(),
            serving: Mutex::new(Serving::Forward),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _accepting: accepting }
    }

    /// Listens before the server of a URL, `SCHEME://USER@HOST:PORT/DATABASE`; with the URL that leads through it.
    pub async fn before(url: &str) -> (Self, String) {
        let (user, place) = url.rsplit_once('@').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        let proxy = Self::start(server).await;
        let url = format!("{user}@{}/{database}", proxy.address());
        (proxy, url)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections that are open now.
    pub fn cut_all(&self) {
        self.shared.cut.send_replace(());
    }

    /// Cuts all connections that are open now; what becomes of new ones is up to `serving`. What was to come later is
    /// called off.
    pub fn serve(&self, serving: Serving) {
        *self.shared.moment.lock().unwrap() = None;
        *self.shared.serving.lock().unwrap() = serving;
        self.cut_all();
    }

    /// Cuts the next connection that commits; called twice, the next two.
    pub fn cut_next_commit(&self, cut: Cut) {
        self.shared.counter(cut).fetch_add(1, Ordering::SeqCst);
    }

    /// Cuts all connections instead of forwarding a piece, after so many others that go the same way.
    pub fn cut_after(&self, pieces: usize, lost: Lost) {
        self.serve_after(pieces, lost, Serving::Forward);
    }

    /// As [`cut_after`](Self::cut_after), and what becomes of new connections from then on.
    pub fn serve_after(&self, pieces: usize, lost: Lost, then: Serving) {
        *self.shared.moment.lock().unwrap() = Some(Moment { lost, left: pieces, then });
    }

    /// Whether connections have been cut since [`cut_after`](Self::cut_after); if not, they will not be.
    pub fn has_cut(&self) -> bool {
        self.shared.moment.lock().unwrap().take().is_none()
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
        self.counter(cut).fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether a piece may pass; if it is the one at which to cut, all connections are.
    fn passes(&self, direction: Lost) -> bool {
        let mut moment = self.moment.lock().unwrap();
        match moment.as_mut().filter(|moment| moment.lost == direction) {
            None => return true,
            Some(moment) if moment.left > 0 => {
                moment.left -= 1;
                return true;
            }
            Some(Moment { then, .. }) => *self.serving.lock().unwrap() = *then,
        }
        *moment = None;
        self.cut.send_replace(());
        false
    }
}

/// A server that is not there looks to the client like a connection that is closed at once.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (shared, mut cut) = (Arc::clone(&shared), shared.cut.subscribe());
        let serving = *shared.serving.lock().unwrap();
        connections.spawn(async move {
            match serving {
                Serving::Forward => {}
                Serving::Refuse => return,
                Serving::Stall => {
                    let _ = cut.changed().await;
                    return;
                }
            }
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
        () = answers(&mut from_server, &mut to_client, shared) => return,
        cut = requests(&mut from_client, &mut to_server, shared) => if cut != Some(Cut::AfterCommit) { return },
    }
    drop((from_client, to_client));
    // Closing without reading could reset the connection before the server has read what was sent.
    let _ = to_server.shutdown().await;
    let _ = tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await;
}

async fn answers(server: &mut OwnedReadHalf, client: &mut OwnedWriteHalf, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        if !shared.passes(Lost::Answer) || client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn requests(client: &mut OwnedReadHalf, server: &mut OwnedWriteHalf, shared: &Shared) -> Option<Cut> {
    let mut buffer = vec![0; 64 * 1024];
    // The last bytes, for a message that comes in two pieces.
    let mut tail = Vec::new();
    loop {
        let received = client.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        let received = &buffer[..received];
        tail.extend_from_slice(&received[received.len().saturating_sub(LONGEST_COMMIT)..]);
        tail.drain(..tail.len().saturating_sub(LONGEST_COMMIT));
        let commits = COMMITS.iter().any(|commit| tail.ends_with(commit));
        if !shared.passes(Lost::Request) || commits && shared.take(Cut::BeforeCommit) {
            return Some(Cut::BeforeCommit);
        }
        server.write_all(received).await.ok()?;
        if commits && shared.take(Cut::AfterCommit) {
            return Some(Cut::AfterCommit);
        }
    }
}
