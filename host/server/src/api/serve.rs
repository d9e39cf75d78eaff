//! Connections: how many there may be, and how long one may take to say what it wants.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::Peer;

/// How long it is waited after a connection could not be taken, for instance because no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(200);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// So many are open at once; further ones wait until one ends.
    pub connections: usize,
    /// A request's headers have to arrive within this time, also the next one's on a connection that is kept.
    pub headers_within: Duration,
}

/// How connections are answered.
#[derive(Clone)]
pub struct Answering {
    /// What answers requests.
    pub router: Router,
    /// What decrypts connections, if they are encrypted.
    pub tls: Option<TlsAcceptor>,
    /// What they may take.
    pub bounds: Bounds,
    /// Ends the requests that are under way.
    pub stop: CancellationToken,
}

/// Answers until it is stopped, and then ends the requests that are under way.
pub async fn serve(listener: TcpListener, answering: Answering) {
    let places = Arc::new(Semaphore::new(answering.bounds.connections));
    let tracker = TaskTracker::new();
    let next = async || -> io::Result<_> {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, from) = listener.accept().await?;
        Ok((stream, Peer(from.ip().to_canonical()), place))
    };
    while let Some(accepted) = answering.stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, peer, place)) => {
                let answering = answering.clone();
                tracker.spawn(async move {
                    answering.decrypt(stream, peer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the API was not taken");
                sleep(PAUSE).await;
            }
        }
    }
    tracker.close();
    tracker.wait().await;
}

impl Answering {
    async fn decrypt(self, stream: TcpStream, peer: Peer) {
        let Some(tls) = &self.tls else { return self.answer(stream, peer).await };
        let handshake = timeout(self.bounds.headers_within, tls.accept(stream));
        let accepted = self.stop.run_until_cancelled(handshake).await;
        match accepted {
            Some(Ok(Ok(stream))) => self.answer(stream, peer).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "a connection to the API was not encrypted as it must be"),
            Some(Err(_)) | None => {}
        }
    }

    async fn answer(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let router = TowerToHyperService::new(self.router);
        let answer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.bounds.headers_within);
        let mut connection = Box::pin(http.serve_connection(TokioIo::new(stream), answer));
        let ended = match self.stop.run_until_cancelled(connection.as_mut()).await {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the API ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(headers_within: Duration) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = Router::new().route("/", get(async || "here"));
        let bounds = Bounds { connections: 1, headers_within };
        let answering = Answering { router, tls: None, bounds, stop: stop.clone() };
        (address, stop, tokio::spawn(serve(listener, answering)))
    }

    async fn ask(connection: &mut TcpStream, text: &str) -> String {
        connection.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn whoever_never_ends_its_headers_is_cut_off_and_makes_room_for_others() {
        let (address, _stop, _serving) = start(Duration::from_millis(50)).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        let mut quick = TcpStream::connect(address).await.unwrap();
        assert!(!ask(&mut slow, "GET / HTTP/1.1\r\nHost: he").await.contains("200 OK"));
        let answer = ask(&mut quick, REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn connections_on_which_nothing_happens_end_with_the_server() {
        let (address, stop, serving) = start(Duration::from_secs(3_600)).await;
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let mut begin = [0; 15];
        kept.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        stop.cancel();
        serving.await.unwrap();
    }
}
