//! The HTTP API: what runs and how it does, records in, live rows out.

mod docs;
mod error;
mod health;
mod metrics;
mod pipelines;
mod tap;
mod topics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::usage::Usage;
use error::ApiError;

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 8 << 20;

/// How long requests may take to end when the host stops.
const GRACE: Duration = Duration::from_secs(1);

/// The running API.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

/// An address that the API will answer at.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Takes the address, so that it is known to be free before anything runs. Only this machine may ask: there is
    /// no authentication yet.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        if !address.ip().is_loopback() {
            let reason = "whoever reaches it may write records, and it does not ask who they are";
            let help = "listen on 127.0.0.1 and put a proxy with authentication before it";
            return Err(Usage(format!("the API cannot listen on {address}: {reason}; {help}")).into());
        }
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the API cannot listen on {address}; choose another address with --listen"))?;
        Ok(Self(listener))
    }

    /// Answers for `host`.
    pub fn serve(self, host: Arc<Host>) -> Result<Server> {
        let Self(listener) = self;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task =
            tokio::spawn(async move { axum::serve(listener, router(host)).with_graceful_shutdown(stopped).await });
        Ok(Server { address, stop, task })
    }
}

impl Server {
    /// Takes no more requests, and gives those under way a moment to end.
    pub async fn stop(self) {
        self.stop.cancel();
        let abort = self.task.abort_handle();
        if timeout(GRACE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

fn router(host: Arc<Host>) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/pipelines", get(pipelines::list))
        .route("/pipelines/{name}", get(pipelines::show))
        .route("/pipelines/{name}/steps/{step}/tap", get(tap::tap))
        .route("/topics/{topic}/records", post(topics::append))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
        .fallback(no_such_place)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(host)
}

async fn no_such_place(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path())).help("GET /docs lists what there is")
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!("{} does not take {method}", uri.path())).help("GET /docs lists what there is")
}
