//! WAIT and WAITAOF: how many replicas have what a client wrote.
//!
//! Owns the asking of all masters, since a client's writes may have gone to any of them, and the merging:
//! the least of what they say holds for all. A node counts from the last command of the connection that
//! asks, whatever that was: so what asks sends a PING first, behind everything that the client has been
//! answered. Must not know sessions.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Router;
use super::blocked::{FOREVER, WaitTime};
use super::fanout::Asker;
use crate::backend::{Asked, BackendError, Lane, LeaseError, NodeAddress};
use crate::metrics::Outcome;
use crate::reply::texts;
use crate::resp::frame::open_array;
use crate::resp::{Protocol, Value, write};

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// A WAIT or WAITAOF.
pub struct Acknowledged {
    /// Whose it is.
    pub asker: Asker,
    /// The request as it is.
    pub request: Vec<u8>,
    /// For how long; `None` when a node will object to it.
    pub wait: Option<WaitTime>,
}

impl Router {
    /// Asks all masters, and answers the client with the least.
    pub async fn acknowledged(self: Rc<Self>, wait: Acknowledged) {
        let Acknowledged { asker, request, wait } = wait;
        let map = self.map();
        let answer = if map.is_complete() {
            let request: Rc<[u8]> = [PING, &request].concat().into();
            // A node that says nothing when the time is over is given as long as for anything else.
            let silence = Duration::from_micros(self.shared().response_timeout_us);
            let time = wait.map_or(Some(Duration::ZERO), |wait| wait.time);
            let most = time.map_or(FOREVER, |time| time.saturating_add(silence));
            let mut asking = JoinSet::new();
            for shard in map.shards() {
                let (router, node) = (Rc::clone(&self), shard.master.clone());
                let request = Rc::clone(&request);
                asking.spawn_local(async move { router.ask_to_wait(&node, &request, most).await });
            }
            let mut answers = Vec::new();
            while let Some(joined) = asking.join_next().await {
                answers.push(joined.unwrap_or_else(|_| texts::frame(texts::UNMERGEABLE)));
            }
            least(&answers)
        } else {
            texts::frame(self.why_not_complete())
        };
        let outcome = if answer.starts_with(b"-") { Outcome::Error } else { Outcome::Ok };
        asker.writer.deliver(asker.seq, &answer, true);
        self.stats().command(asker.meta.command, outcome);
    }

    async fn ask_to_wait(&self, node: &NodeAddress, request: &[u8], most: Duration) -> Vec<u8> {
        let work = async {
            let mut lease = self.pipelines().lease(node, Protocol::Resp2, Lane::Blocked).await?;
            lease.set_timeout(most);
            let asked =
                Asked { requests: request, count: 2, bytes_max: 4096, ends_with_error_at: None };
            lease.ask(&asked).await
        };
        match self.unless_deposed(node, work).await {
            Ok(mut frames) => frames.pop().unwrap_or_default(),
            Err(LeaseError { error: BackendError::Busy, .. }) => texts::frame(texts::NO_LEASE),
            Err(error) => texts::frame(&texts::not_asked(&error.error.to_string())),
        }
    }
}

/// The least number, in each place where there are several; or the first error.
fn least(answers: &[Vec<u8>]) -> Vec<u8> {
    if let Some(error) = answers.iter().find(|answer| answer.starts_with(b"-")) {
        return error.clone();
    }
    let all: Option<Vec<Vec<i64>>> = answers.iter().map(|answer| numbers(answer)).collect();
    let merged = all.and_then(|all| {
        all.into_iter().reduce(|a, b| a.iter().zip(&b).map(|(a, b)| *a.min(b)).collect())
    });
    let Some(numbers) = merged else { return texts::frame(texts::UNMERGEABLE) };
    let mut out = Vec::new();
    if answers.first().is_some_and(|answer| answer.starts_with(b"*")) {
        write::array_len(&mut out, numbers.len());
    }
    numbers.iter().for_each(|number| write::integer(&mut out, *number));
    out
}

fn numbers(answer: &[u8]) -> Option<Vec<i64>> {
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    match Value::decode(answer) {
        Ok(Some((Value::Array(values), _))) if open_array(answer).is_some() => {
            values.iter().map(number).collect()
        }
        Ok(Some((value, _))) => Some(vec![number(&value)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(answers: &[&str]) -> String {
        let answers: Vec<Vec<u8>> = answers.iter().map(|a| a.as_bytes().to_vec()).collect();
        String::from_utf8(least(&answers)).expect("text")
    }

    #[test]
    fn the_least_holds_for_all() {
        assert_eq!(merged(&[":2\r\n", ":1\r\n", ":3\r\n"]), ":1\r\n");
        assert_eq!(merged(&["*2\r\n:1\r\n:0\r\n", "*2\r\n:0\r\n:2\r\n"]), "*2\r\n:0\r\n:0\r\n");
        assert_eq!(merged(&[":2\r\n", "-ERR no\r\n"]), "-ERR no\r\n");
        assert!(merged(&[":2\r\n", "+x\r\n"]).starts_with('-'));
    }
}
