//! The HTTP API: what runs and how it does, what is to run, records in, live rows out.

mod asker;
mod audit;
mod browser;
mod console;
mod dead_letters;
mod definitions;
mod docs;
mod ends;
mod error;
mod graph;
mod guard;
mod health;
mod metrics;
mod offsets;
mod paths;
mod pipelines;
mod plugins;
mod progress;
mod queries;
mod rates;
mod roles;
mod runs;
mod serve;
mod shadow;
mod shadow_detail;
mod tap;
mod tls;
mod topics;
mod versions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post, put};
use azenha_model::http::{ADDRESS_HELP, HttpConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::usage::Usage;
pub use dead_letters::{LetterDetail, Letters};
pub use definitions::InForce;
pub use error::ErrorBody;
use guard::Guard;
pub use metrics::openmetrics;
pub use pipelines::ListedPipeline;
pub use plugins::PluginDetail;
pub use serve::{Answering, Bounds, serve};
pub use shadow_detail::{AnswerDetail, Both, ShadowDetail};
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
    /// Where it is found.
    pub url: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// An address that the API will answer at.
pub struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Takes the address and reads the certificate, so that both are known to be good before anything runs.
    pub async fn bind(address: SocketAddr, http: &HttpConfig) -> Result<Self> {
        if let Some(reason) = http.unsafe_at(address) {
            return Err(Usage(format!("{reason}; {ADDRESS_HELP}")).into());
        }
        let tls = tls::acceptor(&http.tls)?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the API cannot listen on {address}; choose another address with --listen"))?;
        Ok(Self { listener, tls })
    }

    /// Answers for `host`.
    pub fn serve(self, host: Arc<Host>) -> Result<Server> {
        let Self { listener, tls } = self;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let answering = Answering { router: router(host), tls, bounds: BOUNDS, stop: stop.clone() };
        let task = tokio::spawn(serve(listener, answering));
        Ok(Server { url, stop, task })
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

/// What each route asks of its callers, [`roles::RULES`] says; it answers nobody without a rule there.
fn router(host: Arc<Host>) -> Router {
    let guard = Arc::new(Guard::new(Arc::clone(&host)));
    let limit = DefaultBodyLimit::max;
    let pipeline = get(pipelines::show).put(definitions::put).delete(definitions::delete);
    let shadow = get(shadow::show).post(shadow::start).delete(shadow::discard);
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
        .route("/pipelines/{name}/graph", get(graph::show))
        .route("/pipelines/{name}/shadows", get(shadow::list))
        .route("/pipelines/{name}/steps/{step}/tap", get(tap::tap))
        .route("/pipelines/{name}/steps/{step}/shadow", shadow.layer(limit(definitions::DEFINITION_LIMIT)))
        .route("/pipelines/{name}/steps/{step}/shadow/promote", post(shadow::promote))
        .route("/plugins", get(plugins::list))
        .route("/plugins/{name}", put(plugins::put).delete(plugins::remove).layer(limit(plugins::PLUGIN_LIMIT)))
        .route("/topics/{topic}/records", post(topics::append))
        .route("/audit", get(audit::changes))
        .route("/whoami", get(audit::whoami))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(console::docs))
        .route("/console", get(console::page))
        .route("/console/{file}", get(console::file))
        .merge(dead_letters::routes(Arc::clone(&host)))
        .fallback(queries::answer)
        .layer(limit(BODY_LIMIT))
        .layer(from_fn_with_state(guard, guard::guard))
        .layer(map_response(browser::secured))
        .with_state(host)
}
