//! What each route asks of whoever calls it. This is the only place that says so: what is not listed here is refused.

use axum::http::Method;
use azenha_model::access::Role;

use Needs::{Nothing, Token};
use Role::{Deployer, Operator, Viewer};

/// What a caller must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it tells nobody anything about what runs.
    Nothing,
    /// This role. On a host without tokens everybody on its machine has it.
    Role(Role),
    /// A token with this role, even if the host has none: code that every host will run is nobody's without a name.
    Token(Role),
}

const fn role(role: Role) -> Needs {
    Needs::Role(role)
}

/// A route: its method, its path as the router has it, and what it needs.
pub type Rule = (Method, &'static str, Needs);

/// Every route of the host's own. Answers to queries, whose paths pipelines choose, are [`FALLBACK`].
pub static RULES: [Rule; 40] = [
    (Method::GET, "/livez", Nothing),
    (Method::GET, "/readyz", Nothing),
    (Method::GET, "/openapi.json", Nothing),
    (Method::GET, "/docs", Nothing),
    (Method::GET, "/console", Nothing),
    (Method::GET, "/console/{file}", Nothing),
    (Method::GET, "/whoami", Nothing),
    (Method::GET, "/audit", role(Viewer)),
    (Method::GET, "/metrics", role(Viewer)),
    (Method::GET, "/pipelines", role(Viewer)),
    (Method::GET, "/pipelines/{name}", role(Viewer)),
    (Method::PUT, "/pipelines/{name}", role(Deployer)),
    (Method::DELETE, "/pipelines/{name}", role(Deployer)),
    (Method::POST, "/pipelines/{name}/pause", role(Operator)),
    (Method::POST, "/pipelines/{name}/resume", role(Operator)),
    (Method::POST, "/pipelines/{name}/restart", role(Operator)),
    (Method::GET, "/pipelines/{name}/offsets", role(Viewer)),
    (Method::PATCH, "/pipelines/{name}/offsets", role(Operator)),
    (Method::GET, "/pipelines/{name}/runs", role(Viewer)),
    (Method::POST, "/pipelines/{name}/runs", role(Operator)),
    (Method::GET, "/pipelines/{name}/dead-letters", role(Viewer)),
    (Method::GET, "/pipelines/{name}/dead-letters/{id}", role(Viewer)),
    (Method::GET, "/pipelines/{name}/dead-letters/{id}/bundle", role(Operator)),
    (Method::GET, PERSONAL, role(Deployer)),
    (Method::POST, REPLAY, role(Operator)),
    (Method::POST, "/pipelines/{name}/dead-letters/{id}/retry", role(Operator)),
    (Method::POST, "/pipelines/{name}/dead-letters/{id}/discard", role(Operator)),
    (Method::GET, "/pipelines/{name}/versions", role(Viewer)),
    (Method::POST, "/pipelines/{name}/rollback", role(Deployer)),
    (Method::GET, "/pipelines/{name}/graph", role(Viewer)),
    (Method::GET, "/pipelines/{name}/shadows", role(Viewer)),
    (Method::GET, "/pipelines/{name}/steps/{step}/tap", role(Viewer)),
    (Method::GET, "/pipelines/{name}/steps/{step}/shadow", role(Viewer)),
    (Method::POST, "/pipelines/{name}/steps/{step}/shadow", role(Deployer)),
    (Method::DELETE, "/pipelines/{name}/steps/{step}/shadow", role(Deployer)),
    (Method::POST, "/pipelines/{name}/steps/{step}/shadow/promote", role(Deployer)),
    (Method::GET, "/plugins", role(Viewer)),
    (Method::PUT, "/plugins/{name}", Token(Deployer)),
    (Method::DELETE, "/plugins/{name}", Token(Deployer)),
    (Method::POST, RECORDS, role(Operator)),
];

/// Records in: data, which is not a change of what runs.
const RECORDS: &str = "/topics/{topic}/records";

/// Code is run, and nothing is changed.
const REPLAY: &str = "/pipelines/{name}/dead-letters/{id}/replay";

/// Personal data out: no change, but somebody may have to say who saw it.
const PERSONAL: &str = "/pipelines/{name}/dead-letters/{id}/personal-bundle";

/// What a path needs that is none of the host's own.
pub const FALLBACK: Needs = role(Viewer);

/// What probes ask, who have to be answered also when the host has too much to do.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// A route, as far as it matters who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// What it needs.
    pub needs: Needs,
    /// Whether it is written down who called it.
    pub is_recorded: bool,
    /// Whether it is answered whatever else is asked.
    pub is_probe: bool,
}

impl Route {
    /// Reading what runs.
    pub const READ: Self = Self { needs: FALLBACK, is_recorded: false, is_probe: false };

    /// The route of a method and of a path as the router has it, none if the path is none of the host's own. Gives
    /// none if the path takes no such method.
    pub fn find(method: &Method, path: Option<&str>) -> Option<Self> {
        let Some(path) = path else { return Some(Self::READ) };
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let (_, _, needs) = RULES.iter().find(|(method, listed, _)| method == asked && *listed == path)?;
        let is_recorded = path == PERSONAL || !is_safe(method) && ![RECORDS, REPLAY].contains(&path);
        Some(Self { needs: *needs, is_recorded, is_probe: PROBES.contains(&path) })
    }
}

/// Whether a method only reads.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_with_less_than_an_operators_role() {
        for (method, path, needs) in RULES.iter().filter(|(method, ..)| !is_safe(method)) {
            let (Needs::Role(role) | Needs::Token(role)) = needs else { panic!("{method} {path} needs nothing") };
            assert!(*role >= Operator, "{method} {path}");
        }
    }

    #[test]
    fn what_is_not_listed_is_no_route() {
        assert_eq!(Route::find(&Method::POST, Some("/metrics")), None);
        assert_eq!(Route::find(&Method::GET, Some("/forgotten")), None);
        let head = Route::find(&Method::HEAD, Some("/metrics"));
        assert_eq!(head, Route::find(&Method::GET, Some("/metrics")));
        let fallback = Route::find(&Method::POST, None).unwrap();
        assert_eq!((fallback.needs, fallback.is_recorded), (FALLBACK, false));
    }

    #[test]
    fn every_change_is_written_down_and_who_sees_personal_data_and_records_are_not() {
        let is_recorded = |method, path| Route::find(&method, Some(path)).unwrap().is_recorded;
        assert!(is_recorded(Method::PUT, "/plugins/{name}") && is_recorded(Method::POST, "/pipelines/{name}/pause"));
        assert!(is_recorded(Method::GET, PERSONAL));
        assert!(!is_recorded(Method::POST, RECORDS) && !is_recorded(Method::POST, REPLAY));
        assert!(!is_recorded(Method::GET, "/audit"));
    }
}
