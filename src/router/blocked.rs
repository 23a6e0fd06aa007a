//! Requests that wait at a node until there is something for them: BLPOP and its like.
//!
//! Owns the wait: each has a connection for itself, so that nobody waits behind it, and is closed at
//! once when its client goes, so that nothing is popped for nobody. A wait that a node breaks off goes
//! on at the slot's master for the time that remains. The time is the node's: only where a node says
//! nothing does the gateway end a wait. Must not know sessions; who else may end a wait is asked
//! through [`Blocked::unblock`].

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Router;
use super::fanout::Asker;
use super::pursuit::{Place, Pursuit};
use crate::backend::pipeline::ASKING;
use crate::backend::{Asked, BackendError, Lane, LeaseError, NodeAddress};
use crate::metrics::Outcome;
use crate::reply::{CloseReason, ReturnReason, returned, texts};
use crate::resp::frame::open_array;
use crate::resp::{Protocol, Value, write};
use crate::slot::Slot;

/// A request that has waited less is sent with the time-out that its client gave.
const DELAY_MIN: Duration = Duration::from_millis(5);
/// Longer than any wait.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// How a node ends all waits when it becomes a replica, in its own words. Others that begin alike are
/// answers: the stream is gone, or somebody asked for it.
const UNBLOCKED_AS_REPLICA: &[u8] = b"-UNBLOCKED force unblock from blocking operation";
/// Longest entry of a stream that is looked at for its id.
const ENTRY_BYTES_MAX: usize = 512 << 20;

/// How CLIENT UNBLOCK wants a wait to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// As when its time is over.
    Timeout,
    /// With an error.
    Error,
}

/// For how long a request waits, and where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTime {
    /// Which word.
    pub at: usize,
    /// In milliseconds, and else in seconds.
    pub in_ms: bool,
    /// How long; `None` is for ever.
    pub time: Option<Duration>,
}

impl WaitTime {
    /// Reads a time-out; `None` when a node will object to it.
    pub fn read(word: &[u8], at: usize, in_ms: bool) -> Option<WaitTime> {
        let number: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
        let seconds = if in_ms { number / 1000.0 } else { number };
        let time = Duration::try_from_secs_f64(seconds).ok()?;
        Some(WaitTime { at, in_ms, time: (!time.is_zero()).then_some(time) })
    }

    /// The word for a wait that goes on for so long.
    fn word(self, left: Duration) -> String {
        let left = left.max(Duration::from_millis(1));
        match self.in_ms {
            true => left.as_millis().to_string(),
            false => format!("{:.3}", left.as_secs_f64()),
        }
    }
}

/// A request that waits.
pub struct Blocked {
    /// Whose it is.
    pub asker: Asker,
    /// The slot of its keys.
    pub slot: Slot,
    /// Its words.
    pub words: Vec<Vec<u8>>,
    /// For how long; `None` when a node will object to it.
    pub wait: Option<WaitTime>,
    /// The streams of an XREAD: the index of the first name; as many ids follow the names.
    pub streams_at: Option<usize>,
    /// Whether somebody wants the wait to end, and how.
    pub unblock: Box<dyn Fn() -> Option<Unblock>>,
    /// What is done with a node's answer before the client gets it.
    pub rename: Option<Rename>,
}

/// Makes the client's answer of a node's.
pub type Rename = Box<dyn FnOnce(&[u8]) -> Vec<u8>>;

/// How a wait at one node ended.
enum Ended {
    /// With this answer.
    Answered(Vec<u8>),
    /// The node will not answer any more, or cannot serve.
    Lost(ReturnReason),
    /// The node has not ended it in time.
    Overdue,
    /// With an answer that is longer than the client may be sent.
    TooLong,
}

impl Router {
    /// Waits, and answers the client.
    pub async fn block(self: Rc<Self>, mut blocked: Blocked) {
        let Asker { writer, seq, meta, .. } = blocked.asker.clone();
        let frame = match self.wait(&mut blocked).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return writer.cut(CloseReason::OutputLimit),
            Err(text) => texts::frame(&text),
        };
        let frame = match blocked.rename.take() {
            Some(rename) => rename(&frame),
            None => frame,
        };
        let outcome = if frame.starts_with(b"-") { Outcome::Error } else { Outcome::Ok };
        writer.deliver(seq, &frame, true);
        self.stats().command(meta.command, outcome);
    }

    /// The client's answer; `None` when it is longer than the client may be sent.
    async fn wait(self: &Rc<Self>, blocked: &mut Blocked) -> Result<Option<Vec<u8>>, String> {
        let protocol = blocked.asker.protocol;
        let began = Instant::now();
        let until = blocked.wait.and_then(|wait| began.checked_add(wait.time?));
        let mut pursuit = Pursuit::new(blocked.slot, protocol, Lane::Blocked);
        loop {
            let placed = tokio::select! {
                biased;
                placed = pursuit.place(self) => placed?,
                how = blocked.unblocked() => return Ok(Some(unblocked(how, protocol))),
                () = until_then(until) => return Ok(Some(nothing(protocol))),
            };
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Some(nothing(protocol)));
            }
            let sent = Instant::now();
            let ended = self.wait_at(placed, blocked, (began, until)).await;
            if sent.elapsed() > Duration::from_secs(1) {
                pursuit.note_served();
            }
            match ended {
                Ended::Answered(frame) => return Ok(Some(frame)),
                Ended::TooLong => return Ok(None),
                Ended::Overdue => return Ok(Some(nothing(protocol))),
                Ended::Lost(why) => pursuit.fails(self, &why).await?,
            }
        }
    }

    /// Waits at one node.
    async fn wait_at(
        self: &Rc<Self>,
        mut place: Place,
        blocked: &mut Blocked,
        (began, until): (Instant, Option<Instant>),
    ) -> Ended {
        let node = place.node.clone();
        let preparing = async {
            let id = place.lease.client_id().await?;
            let request = blocked.request(began, until, place.asking);
            let is_sent = blocked.begin(&mut place, &request).await?;
            Ok((if is_sent { Vec::new() } else { request }, id))
        };
        let (request, id) = match self.unless_deposed(&node, preparing).await {
            Ok(prepared) => prepared,
            Err(error) => return lost(&error),
        };
        let address = node.address.ip();
        let answered = self.ask_and_wait(place, (&request, id), blocked, until).await;
        match answered {
            Err(ended) => ended,
            Ok(frame) if !frame.starts_with(b"-") => Ended::Answered(frame),
            // It is no master any more.
            Ok(frame) if frame.starts_with(UNBLOCKED_AS_REPLICA) => {
                Ended::Lost(ReturnReason::Unsent)
            }
            Ok(frame) => match returned::classify(&frame) {
                Some(mut why) => {
                    why.said_by(address);
                    Ended::Lost(why)
                }
                None => Ended::Answered(frame),
            },
        }
    }

    /// Sends the request and waits for its answer, or for whatever else ends the wait.
    async fn ask_and_wait(
        self: &Rc<Self>,
        mut place: Place,
        (request, id): (&[u8], Option<u64>),
        blocked: &Blocked,
        until: Option<Instant>,
    ) -> Result<Vec<u8>, Ended> {
        let (bytes_max, protocol) =
            (blocked.asker.writer.output_bytes_max(), blocked.asker.protocol);
        let count = 1 + usize::from(place.asking);
        let asked = Asked { requests: request, count, bytes_max, ends_with_error_at: None };
        // The node ends it, but for one that says nothing any more.
        let silence = Duration::from_micros(self.shared().response_timeout_us);
        let overdue = until.and_then(|until| until.checked_add(silence));
        place.lease.set_timeout(FOREVER);
        let mut asking = std::pin::pin!(place.lease.ask(&asked));
        let mut told: Option<(Unblock, Instant)> = None;
        loop {
            let given_up = told.map(|(_, at)| at + silence);
            tokio::select! {
                biased;
                answered = &mut asking => return match answered {
                    Ok(mut frames) => Ok(frames.pop().unwrap_or_default()),
                    Err(LeaseError { error: BackendError::TooLong, .. }) => Err(Ended::TooLong),
                    Err(error) => Err(lost(&error)),
                },
                how = blocked.unblocked(), if told.is_none() => {
                    // Where the node does not say what it calls the connection, closing it is all that
                    // can be done.
                    let Some(id) = id else { return Ok(unblocked(how, protocol)) };
                    told = Some((how, Instant::now()));
                    self.tell_unblock(&place.node, id, how);
                }
                () = until_then(given_up) => {
                    let how = told.map_or(Unblock::Timeout, |(how, _)| how);
                    return Ok(unblocked(how, protocol));
                }
                () = until_then(overdue) => return Err(Ended::Overdue),
                () = self.until_deposed(&place.node) => {
                    return Err(Ended::Lost(ReturnReason::Indeterminate));
                }
            }
        }
    }

    /// Has a node end the wait of its client with this id. What it has popped meanwhile comes first.
    fn tell_unblock(self: &Rc<Self>, node: &NodeAddress, id: u64, how: Unblock) {
        let id = id.to_string();
        let how: &[u8] = if how == Unblock::Error { b"ERROR" } else { b"TIMEOUT" };
        let mut request = Vec::new();
        write::request(&mut request, &[b"CLIENT", b"UNBLOCK", id.as_bytes(), how]);
        let (router, node) = (Rc::clone(self), node.clone());
        tokio::task::spawn_local(async move {
            let leasing = router.pipelines().lease(&node, Protocol::Resp2, Lane::Quick);
            let asked =
                Asked { requests: &request, count: 1, bytes_max: 1024, ends_with_error_at: None };
            if let Ok(mut lease) = leasing.await {
                // Who waits for it has a limit of its own.
                let _ = lease.ask(&asked).await;
            }
        });
    }
}

impl Blocked {
    async fn unblocked(&self) -> Unblock {
        std::future::poll_fn(|_| match (self.unblock)() {
            Some(how) => Poll::Ready(how),
            // Whoever wants it wakes the client's task.
            None => Poll::Pending,
        })
        .await
    }

    /// The request for a wait that goes on at another node, or begins.
    fn request(&self, began: Instant, until: Option<Instant>, asking: bool) -> Vec<u8> {
        let mut request = if asking { ASKING.to_vec() } else { Vec::new() };
        let now = Instant::now();
        let is_late = now.duration_since(began) > DELAY_MIN;
        let word = match (self.wait, until) {
            (Some(wait), Some(until)) if is_late => {
                Some((wait.at, wait.word(until.saturating_duration_since(now))))
            }
            _ => None,
        };
        write::array_len(&mut request, self.words.len());
        for (at, own) in self.words.iter().enumerate() {
            match &word {
                Some((wait_at, word)) if *wait_at == at => {
                    write::bulk(&mut request, word.as_bytes());
                }
                _ => write::bulk(&mut request, own),
            }
        }
        request
    }

    /// `$` is what comes after now. A wait that goes on elsewhere would leave out what came meanwhile,
    /// so the last ids of the streams are asked for, and the request is sent right behind. Says whether
    /// there was something to ask for: the request has been sent then.
    async fn begin(&mut self, place: &mut Place, request: &[u8]) -> Result<bool, LeaseError> {
        let Some(first) = self.streams_at else { return Ok(false) };
        let names = (self.words.len() - first) / 2;
        let ids = first + names..self.words.len();
        let wanted: Vec<usize> = ids.filter(|&at| self.words[at] == b"$").collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let mut requests = Vec::new();
        for at in &wanted {
            if place.asking {
                requests.extend_from_slice(ASKING);
            }
            let name = &self.words[at - names];
            write::request(&mut requests, &[b"XREVRANGE", name, b"+", b"-", b"COUNT", b"1"]);
        }
        requests.extend_from_slice(request);
        let each = 1 + usize::from(place.asking);
        let (count, bytes_max) = (wanted.len() * each, ENTRY_BYTES_MAX);
        let asked = Asked { requests: &requests, count, bytes_max, ends_with_error_at: None };
        let frames = place.lease.ask(&asked).await?;
        // The answer to the request is still to come.
        place.lease.spoil();
        for (at, frame) in wanted.iter().zip(frames.iter().skip(each - 1).step_by(each)) {
            // An error comes again for the request itself; should that go on, it is asked once more.
            if let Some(id) = last_id(frame) {
                self.words[*at] = id;
            }
        }
        Ok(true)
    }
}

/// The id of the only entry, or the least one for an empty stream. `None` for an error.
fn last_id(frame: &[u8]) -> Option<Vec<u8>> {
    let (len, entries) = open_array(frame)?;
    if len == 0 {
        return Some(b"0-0".to_vec());
    }
    let (_, entry) = open_array(entries)?;
    match Value::decode(entry) {
        Ok(Some((Value::Bulk(id), _))) => Some(id.to_vec()),
        _ => None,
    }
}

/// What a client gets whose time is over.
fn nothing(protocol: Protocol) -> Vec<u8> {
    let mut out = Vec::new();
    write::null_array(&mut out, protocol);
    out
}

fn unblocked(how: Unblock, protocol: Protocol) -> Vec<u8> {
    match how {
        Unblock::Timeout => nothing(protocol),
        Unblock::Error => texts::frame(texts::UNBLOCKED),
    }
}

/// What follows from a connection that broke.
fn lost(error: &LeaseError) -> Ended {
    Ended::Lost(match error.was_sent {
        true => ReturnReason::Indeterminate,
        false => ReturnReason::Unsent,
    })
}

/// Returns then, or never.
async fn until_then(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_a_node_reads_them() {
        let read = |word: &str, in_ms| WaitTime::read(word.as_bytes(), 2, in_ms);
        let time = |word, in_ms| read(word, in_ms).map(|wait| wait.time);
        assert_eq!(time("0", false), Some(None));
        assert_eq!(time("0.25", false), Some(Some(Duration::from_millis(250))));
        assert_eq!(time("1500", true), Some(Some(Duration::from_millis(1500))));
        for word in ["-1", "x", "", "inf", "nan", "1e300"] {
            assert_eq!(time(word, false), None, "{word}");
        }
        let wait = read("10", false).expect("a time-out");
        assert_eq!(wait.word(Duration::from_millis(1234)), "1.234");
        assert_eq!(wait.word(Duration::ZERO), "0.001", "0 would be for ever");
        let wait = read("10", true).expect("a time-out");
        assert_eq!(wait.word(Duration::from_millis(1234)), "1234");
        assert_eq!(wait.word(Duration::from_nanos(5)), "1");
    }

    #[test]
    fn the_last_id_of_a_stream() {
        let frame = b"*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        assert_eq!(last_id(frame), Some(b"5-1".to_vec()));
        assert_eq!(last_id(b"*0\r\n"), Some(b"0-0".to_vec()));
        assert_eq!(last_id(b"-MOVED 1 a:1\r\n"), None);
    }
}
