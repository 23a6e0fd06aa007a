//! The endpoints of the admin port of a gateway: which path answers what.
//!
//! Owns paths, status codes and content types, and what is the same for whoever has such a port.
//! Must not know how a figure is come by.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;

use super::overview::Overview;
use super::status::Status;
use super::{Admin, door, page};
use crate::metrics::exposition::CONTENT_TYPE;
use crate::version;

/// Every path, and what is there.
pub(super) const ENDPOINTS: [(&str, &str); 10] = [
    ("/", "the page for people; /stats is the same"),
    ("/stats;csv", "its figures in the columns of HAProxy"),
    ("/api/status.json", "its figures as JSON"),
    ("/endpoints", "this list"),
    ("/metrics", "figures for Prometheus"),
    ("/livez", "200 while the process and all its workers run"),
    ("/healthz", "the same as /livez"),
    ("/readyz", "200 when clients should be sent here, else 503 with the reason; ?verbose for all"),
    ("/version", "what runs, as JSON"),
    ("/api/v1/status", "the gateway, its workers, the cluster and its nodes, as JSON"),
];

/// The endpoints as a service. HEAD is answered wherever GET is.
pub(super) fn router(admin: Arc<Admin>) -> axum::Router {
    let own = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .merge(people(Arc::clone(&admin)))
        .with_state(admin);
    everywhere(own, &ENDPOINTS)
}

/// What people look at, behind the password where there is one.
fn people(admin: Arc<Admin>) -> axum::Router<Arc<Admin>> {
    axum::Router::new()
        .route("/", get(shown))
        .route("/stats", get(shown))
        .route("/stats;csv", get(csv))
        .route("/api/status.json", get(overview))
        .route("/page.css", get(|| async { asset("text/css; charset=utf-8", page::STYLE) }))
        .route("/page.js", get(|| async { asset("text/javascript; charset=utf-8", page::SCRIPT) }))
        .route_layer(middleware::from_fn_with_state(admin, door::check))
}

/// Adds what every admin port answers: the list of its endpoints, what runs, that there is no more.
pub(super) fn everywhere(
    router: axum::Router,
    endpoints: &'static [(&'static str, &'static str)],
) -> axum::Router {
    router
        .route("/endpoints", get(move || async move { list(endpoints) }))
        .route("/version", get(versions))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
}

/// Yes, or the reason why not.
pub(super) fn verdict(problem: Option<String>) -> Response {
    match problem {
        None => text(StatusCode::OK, "ok\n"),
        Some(problem) => text(StatusCode::SERVICE_UNAVAILABLE, problem + "\n"),
    }
}

/// A scrape.
pub(super) fn exposed(page: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.into()).into_response()
}

/// What there is.
pub(super) fn list(endpoints: &[(&str, &str)]) -> Response {
    let mut page = format!("slotway {}\n\n", version::VERSION);
    for (path, what) in endpoints {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{path:<20}{what}");
    }
    text(StatusCode::OK, page)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    exposed(admin.collector().collect(&admin.gateway, Instant::now()))
}

async fn live(State(admin): State<Arc<Admin>>) -> Response {
    verdict(admin.gateway.stuck_worker())
}

async fn ready(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let checks = admin.gateway.checks();
    let problem = checks.iter().find_map(|check| check.problem.clone());
    let status = if problem.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let query = query.unwrap_or_default();
    if !query.split('&').any(|word| word.split('=').next() == Some("verbose")) {
        return text(status, problem.unwrap_or_else(|| "ok".to_owned()) + "\n");
    }
    let mut page = String::new();
    for check in checks {
        // Writing to a string cannot fail.
        let _ = match check.problem {
            None => writeln!(page, "[+] {} ok", check.name),
            Some(problem) => writeln!(page, "[-] {}: {problem}", check.name),
        };
        for note in check.notes {
            let _ = writeln!(page, "[!] {}: {note}", check.name);
        }
    }
    text(status, page)
}

/// The answer of `/version`.
#[derive(Serialize)]
struct Version {
    version: &'static str,
    commit: &'static str,
    rustc: &'static str,
}

async fn versions() -> Json<Version> {
    Json(Version { version: version::VERSION, commit: version::COMMIT, rustc: version::RUSTC })
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    Json(Status::of(&admin.gateway, Instant::now()))
}

fn look(admin: &Admin) -> Overview {
    Overview::of(&admin.gateway, &admin.sampler(), Instant::now())
}

async fn shown(State(admin): State<Arc<Admin>>) -> Response {
    match page::html(&look(&admin)) {
        Ok(html) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, page::POLICY),
                (header::CACHE_CONTROL, "no-store"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "no-referrer"),
            ];
            (headers, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the page cannot be made");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made; see the log\n")
        }
    }
}

async fn csv(State(admin): State<Arc<Admin>>) -> Response {
    text(StatusCode::OK, page::csv::table(&look(&admin)))
}

async fn overview(State(admin): State<Arc<Admin>>) -> Json<Overview> {
    Json(look(&admin))
}

fn asset(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body)
        .into_response()
}

async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "there is nothing here; /endpoints lists what there is\n")
}

async fn not_allowed() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n")
}
