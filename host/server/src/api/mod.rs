//! The HTTP API: what runs and how it does, what is to run, records in, live rows out.

mod definitions;
mod docs;
mod ends;
mod error;
mod guard;
mod health;
mod metrics;
mod offsets;
mod pipelines;
mod plugins;
mod queries;
mod runs;
mod serve;
mod tap;
mod topics;
mod versions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use azenha_model::access::{ADDRESS_HELP, AccessToken, unsafe_address};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::usage::Usage;
pub use definitions::InForce;
use error::ApiError;
pub use error::ErrorBody;
use guard::Guard;
pub use metrics::openmetrics;
pub use pipelines::PipelineSummary;
pub use plugins::PluginDetail;
pub use serve::{Bounds, serve};
pub use versions::{DryRun, VersionDetail};

/// The largest request body of other calls than those that say otherwise, in bytes.
const BODY_LIMIT: usize = 8 << 20;

/// How long requests may take to end when the host stops.
const GRACE: Duration = Duration::from_secs(1);

/// What connections may take: more than the requests that are worked on, because most only wait.
const BOUNDS: Bounds = Bounds { connections: 1024, headers_within: Duration::from_secs(10) };

/// The running API.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// An address that the API will answer at.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Takes the address, so that it is known to be free before anything runs.
    pub async fn bind(address: SocketAddr, tokens: &[AccessToken]) -> Result<Self> {
        if let Some(reason) = unsafe_address(address, tokens) {
            return Err(Usage(format!("{reason}; {ADDRESS_HELP}")).into());
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
        let task = tokio::spawn(serve(listener, router(host), BOUNDS, stop.clone()));
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
    let guard = Arc::new(Guard::new(&host.config().tokens));
    let limit = DefaultBodyLimit::max;
    let pipeline = get(pipelines::show).put(definitions::put).delete(definitions::delete);
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/pipelines", get(pipelines::list))
        .route("/pipelines/{name}", pipeline.layer(limit(definitions::DEFINITION_LIMIT)))
        .route("/pipelines/{name}/pause", post(definitions::pause))
        .route("/pipelines/{name}/resume", post(definitions::resume))
        .route("/pipelines/{name}/restart", post(definitions::restart))
        .route("/pipelines/{name}/offsets", get(offsets::show).patch(offsets::patch))
        .route("/pipelines/{name}/runs", get(runs::list).post(runs::begin))
        .route("/pipelines/{name}/versions", get(versions::list))
        .route("/pipelines/{name}/rollback", post(versions::rollback))
        .route("/pipelines/{name}/steps/{step}/tap", get(tap::tap))
        .route("/plugins", get(plugins::list))
        .route("/plugins/{name}", put(plugins::put).delete(plugins::remove).layer(limit(plugins::PLUGIN_LIMIT)))
        .route("/topics/{topic}/records", post(topics::append))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
        .fallback(queries::answer)
        .method_not_allowed_fallback(no_such_method)
        .layer(limit(BODY_LIMIT))
        .layer(from_fn_with_state(guard, guard::guard))
        .with_state(host)
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!("{} does not take {method}", uri.path())).help("GET /docs lists what there is")
}
