//! The connections of the admin port: how many, for how long, and what is said to one whose time or
//! place is gone.
//!
//! Owns these bounds. Must not know what is answered. A connection that is ended before its request
//! was read is told why; one whose answer has begun is only closed, for there is no way to take back
//! what has been said.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::net::Stream;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 64;
/// For the whole of a connection: its request, and its taking of the answer.
pub(super) const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// For the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Bytes of a request's head, and of what is read from a connection at once.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// To one whose request did not come in time.
const TOO_SLOW: (&str, &str) =
    ("408 Request Timeout", "the request took longer than it may on this port\n");
/// To one in whose place a newer one is served.
const TOO_MANY: (&str, &str) =
    ("503 Service Unavailable", "too many connections to this port; newer ones are served first\n");

/// The connections being served.
#[derive(Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    /// Oldest first. To drop one asks its connection to end.
    open: VecDeque<oneshot::Sender<()>>,
}

impl Connections {
    /// Serves one more, in the place of the oldest when there are too many.
    pub(super) fn serve(&mut self, stream: Stream, router: axum::Router) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.is_closed());
        if self.open.len() >= CONNECTIONS_MAX {
            self.open.pop_front();
        }
        let (keep, ended) = oneshot::channel();
        self.open.push_back(keep);
        self.tasks.spawn(answer(stream, router, ended));
    }
}

/// One request and its answer, until then, or until the connection is to end.
async fn answer(stream: Stream, router: axum::Router, ended: oneshot::Receiver<()>) {
    let was_asked = Arc::new(AtomicBool::new(false));
    let (asked, routes) = (Arc::clone(&was_asked), TowerToHyperService::new(router));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        routes.call(request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let last_words = tokio::select! {
        done = &mut connection => match done {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(%error, "a connection to the admin port failed");
                error.is_timeout().then_some(TOO_SLOW)
            }
        },
        _ = ended => Some(TOO_MANY),
        () = sleep(CONNECTION_MAX) => Some(TOO_SLOW),
    };
    let Some(words) = last_words else { return };
    let stream = connection.into_parts().io.into_inner();
    if !was_asked.load(Ordering::Relaxed) {
        say(&stream, words);
    }
}

/// An answer that is not waited for: it is short, and a socket that has been sent nothing takes it.
fn say(stream: &Stream, (status, text): (&str, &str)) {
    let head = "content-type: text/plain; charset=utf-8\r\nconnection: close";
    let answer =
        format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    // Whom it does not reach has gone.
    let _ = stream.try_write(answer.as_bytes());
}
