//! The endpoints of the admin port of a gateway: which path answers what.
//!
//! Owns paths, status codes and content types, and what is the same for whoever has such a port.
//! Must not know how a figure is come by.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;

use super::Admin;
use super::status::Status;
use crate::metrics::exposition::CONTENT_TYPE;
use crate::version;

/// Every path, and what is there: the page at `/`.
pub(super) const ENDPOINTS: [(&str, &str); 7] = [
    ("/", "this list"),
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
        .with_state(admin);
    everywhere(own, &ENDPOINTS)
}

/// Adds what every admin port answers: the list of its endpoints, what runs, that there is no more.
pub(super) fn everywhere(
    router: axum::Router,
    endpoints: &'static [(&'static str, &'static str)],
) -> axum::Router {
    router
        .route("/", get(move || async move { list(endpoints) }))
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

fn list(endpoints: &[(&str, &str)]) -> Response {
    let mut page = format!("slotway {}\n\n", version::VERSION);
    for (path, what) in endpoints {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{path:<16}{what}");
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

async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is\n")
}

async fn not_allowed() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n")
}
