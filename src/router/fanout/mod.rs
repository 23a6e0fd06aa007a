//! Commands over all masters: asked, proved and merged into one reply.
//!
//! Owns the carrying out, and how long it may take. What counts as proved is [`proof`]'s. Such a
//! command travels on leased connections, beside the pipelines that requests with keys share: a node
//! that is long about KEYS keeps nobody waiting for more than its own time. Must not know sessions.
//! The caller sees to it that nothing else of the same client is under way meanwhile.

pub mod proof;
mod scan_page;

pub use scan_page::ScanPage;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{self, Instant, sleep};

use super::{Router, reason};
use crate::backend::{Asked, BackendError, Lane, LeaseError, NodeAddress};
use crate::command::{Categories, Command};
use crate::metrics::{Bucket, Outcome};
use crate::reply::handle::RequestMeta;
use crate::reply::merge::Merge;
use crate::reply::{ClientWriter, ReturnReason, returned, texts};
use crate::resp::{Protocol, Value, write};
use crate::topology::{Ownership, Trigger};
use proof::{Answer, Heard, Kind, Next, Proof, Question, Role};

/// What every master is asked before and behind the command.
const WHAT_DO_YOU_OWN: &[u8] = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nNODES\r\n";
/// The pause before the next try, at first and at most; a changed map ends it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// A node that has owed an answer for so long may have been failed over: the map is worth a look.
const SUSPECT: Duration = Duration::from_millis(300);
/// Between two looks at the map for the same reason.
const SUSPECT_AGAIN: Duration = Duration::from_secs(1);
/// How long a node may still answer when it is a master no more.
const HANDOVER: Duration = Duration::from_millis(500);

/// Whose request it is, and what is known of it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The client's way out.
    pub writer: Rc<ClientWriter>,
    /// The number of its request.
    pub seq: u64,
    /// What is known of the request.
    pub meta: RequestMeta,
    /// Which RESP the client speaks.
    pub protocol: Protocol,
}

/// A command for all masters.
#[derive(Debug)]
pub struct Fanout {
    /// Whose it is.
    pub asker: Asker,
    /// The request as it is.
    pub request: Rc<[u8]>,
    /// What it does.
    pub kind: Kind,
    /// Which of the nodes' connections it takes.
    pub lane: Lane,
    /// Whether replicas get it too.
    pub with_replicas: bool,
    /// How the replies become one.
    pub merge: Merge,
}

/// Bytes of nodes' replies that wait for those of others: they count as the client's output.
struct Gathered {
    writer: Rc<ClientWriter>,
    bytes: Cell<usize>,
}

impl Gathered {
    fn note(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
        self.writer.note_gathered(bytes);
    }

    fn forget(&self) {
        self.writer.note_merged(self.bytes.take());
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Words of a request from which on a node has long to do: SCRIPT EXISTS of many scripts.
const WORDS_LONG: usize = 100;

/// Which of a node's connections a command over all masters takes: what goes through all keys of a
/// node keeps nobody waiting who asks for a number.
pub fn lane_of(command: &Command, words: usize) -> Lane {
    let walks_keys = Categories::KEYSPACE.union(Categories::DANGEROUS);
    if command.categories.contains(walks_keys) || words >= WORDS_LONG {
        Lane::Long
    } else {
        Lane::Quick
    }
}

/// How long something has not worked.
struct Trying {
    began: Option<Instant>,
    pause: Duration,
}

impl Router {
    /// Asks all masters, and answers the client.
    pub async fn fan_out(self: Rc<Self>, fanout: Fanout) {
        let Asker { writer, seq, meta, .. } = fanout.asker.clone();
        let gathered = Rc::new(Gathered { writer: Rc::clone(&writer), bytes: Cell::new(0) });
        // Some are answered by those that live when not all can be had.
        let takes_errors = matches!(fanout.merge, Merge::WithErrors(_));
        let proved = tokio::select! {
            proved = self.prove(&fanout, &gathered) => proved,
            () = self.until_broken(), if takes_errors => Err(self.why_not_complete().to_owned()),
        };
        let (parts, merge) = match proved {
            Ok((parts, twice)) => (parts, fanout.merge.of_rounds(twice)),
            Err(_) if takes_errors && !self.map().shards().is_empty() => {
                gathered.forget();
                return self.ask_living(&writer, (seq, meta), fanout.merge, &fanout.request);
            }
            Err(text) => return self.fail(&writer, seq, meta.command, &text),
        };
        gathered.forget();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut first = None;
        merge.apply(&parts, &mut |piece, whole| {
            first = first.or(piece.first().copied());
            writer.deliver(seq, piece, whole);
        });
        let outcome = if first == Some(b'-') { Outcome::Error } else { Outcome::Ok };
        self.note_answered(meta, outcome);
    }

    /// Counts a command that was answered beside the pipelines.
    pub(super) fn note_answered(&self, meta: RequestMeta, outcome: Outcome) {
        let (stats, shared) = (self.stats(), self.shared());
        stats.command(meta.command, outcome);
        let class = shared.classes.borrow().get(usize::from(meta.command)).copied();
        if let Some(block) = stats.latencies.get(usize::from(class.unwrap_or(0))) {
            block.record(Bucket::of(shared.clock.tick().saturating_sub(meta.begun_us)));
        }
    }

    /// The replies of all masters, and whether some gave two; or the text of an error.
    async fn prove(
        self: &Rc<Self>,
        fanout: &Fanout,
        gathered: &Rc<Gathered>,
    ) -> Result<(Vec<Vec<u8>>, bool), String> {
        let once = !fanout.asker.meta.on_failure.may_run_twice() && fanout.kind == Kind::PerNode;
        let mut proof = Proof::new(fanout.kind, once, fanout.with_replicas);
        let mut trying = Trying::new();
        loop {
            self.catch_up();
            let map = self.map();
            if !map.is_complete() {
                return Err(self.why_not_complete().to_owned());
            }
            let heard = self.ask_all(proof.questions(&map), fanout, gathered).await;
            match proof.take(heard) {
                Next::Done(parts, twice) => return Ok((parts, twice)),
                Next::Again => {}
                Next::Fail(text) => return Err(text),
                Next::Wait(why) => {
                    gathered.forget();
                    self.stats().unproved.add(1);
                    self.topology().want_refresh(Trigger::Moved);
                    trying.pause(self, why).await?;
                }
            }
        }
    }

    /// Asks all at once; the answers come in the order of the questions.
    async fn ask_all(
        self: &Rc<Self>,
        questions: Vec<Question>,
        fanout: &Fanout,
        gathered: &Rc<Gathered>,
    ) -> Vec<Heard> {
        let mut asking = JoinSet::new();
        for (index, question) in questions.into_iter().enumerate() {
            let (router, gathered) = (Rc::clone(self), Rc::clone(gathered));
            let (request, asker) = (Rc::clone(&fanout.request), fanout.asker.clone());
            let lane = fanout.lane;
            asking.spawn_local(async move {
                (index, router.ask((question, lane), &request, (&asker, &gathered)).await)
            });
        }
        let mut heard = Vec::with_capacity(asking.len());
        while let Some(joined) = asking.join_next().await {
            heard.extend(joined.ok());
        }
        heard.sort_by_key(|(index, _)| *index);
        heard.into_iter().map(|(_, heard)| heard).collect()
    }

    /// Asks one node.
    async fn ask(
        self: Rc<Self>,
        (question, lane): (Question, Lane),
        request: &[u8],
        (asker, gathered): (&Asker, &Gathered),
    ) -> Heard {
        let (requests, count) = frames_of(&question, request);
        let Question { node, role, with_command, counts } = question;
        let at_command = if role == Role::Replica { 0 } else { 1 + counts.len() };
        let asked = Asked {
            requests: &requests,
            count,
            bytes_max: asker.writer.output_bytes_max(),
            ends_with_error_at: asker.meta.on_failure.is_script().then_some(at_command),
        };
        let asked = self.ask_node(&node, (asker.protocol, lane), &asked).await;
        let answer = match asked {
            Ok(frames) => {
                gathered.note(frames.iter().map(Vec::len).sum());
                read(role, with_command, counts.len(), frames)
            }
            Err(LeaseError { error, was_sent }) => {
                tracing::debug!(node = %node.name, %error, "a node has not answered");
                match (error.answer(), error.turned_away()) {
                    (Some(text), _) if role == Role::Master => Answer::Odd(text.to_owned()),
                    (Some(text), _) => Answer::Declined(text.to_owned()),
                    (_, Some(why)) => Answer::Declined(reason::text(why).to_owned()),
                    (_, None) => Answer::Lost { was_sent },
                }
            }
        };
        Heard { node, role, answer }
    }

    /// Asks one node some questions, on a connection of their own.
    async fn ask_node(
        &self,
        node: &NodeAddress,
        (protocol, lane): (Protocol, Lane),
        asked: &Asked<'_>,
    ) -> Result<Vec<Vec<u8>>, LeaseError> {
        let work = async {
            let mut lease = self.pipelines().lease(node, protocol, lane).await?;
            lease.ask(asked).await
        };
        tokio::select! {
            answered = work => answered,
            () = self.until_replaced(node) => {
                Err(LeaseError { error: BackendError::Silent, was_sent: true })
            }
        }
    }

    /// Returns when the node has had its time to answer after it left the map's masters. Has the map
    /// looked at meanwhile.
    async fn until_replaced(&self, node: &NodeAddress) {
        let mut changes = self.topology().changes();
        let mut pause = SUSPECT;
        loop {
            if self.is_deposed(node) {
                return sleep(HANDOVER).await;
            }
            match time::timeout(pause, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) => {
                    self.topology().want_refresh(Trigger::NodeTrouble);
                    pause = SUSPECT_AGAIN;
                }
            }
        }
    }
}

impl Trying {
    fn new() -> Trying {
        Trying { began: None, pause: PAUSE.0 }
    }

    /// Waits a while, or until the map changes; `why` is the error when it has been too long.
    async fn pause(&mut self, router: &Router, why: String) -> Result<(), String> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let timeout = Duration::from_micros(router.rules.failover_wait_us);
        if began.elapsed() >= timeout {
            return Err(why);
        }
        let mut changes = router.topology().changes();
        // An error means that there will be no other map.
        let _ = time::timeout(self.pause, changes.changed()).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

/// The requests of a question, and how many they are.
fn frames_of(question: &Question, request: &[u8]) -> (Vec<u8>, usize) {
    if question.role == Role::Replica {
        return (request.to_vec(), 1);
    }
    let mut frames = WHAT_DO_YOU_OWN.to_vec();
    let mut count = 1;
    for slot in &question.counts {
        let slot = slot.to_string();
        write::request(&mut frames, &[b"CLUSTER", b"COUNTKEYSINSLOT", slot.as_bytes()]);
        count += 1;
    }
    if question.with_command {
        frames.extend_from_slice(request);
        frames.extend_from_slice(WHAT_DO_YOU_OWN);
        count += 2;
    }
    (frames, count)
}

/// What a node's frames say.
fn read(role: Role, with_command: bool, counts: usize, frames: Vec<Vec<u8>>) -> Answer {
    let mut frames = frames.into_iter();
    let mut next = || frames.next().unwrap_or_default();
    if role == Role::Replica {
        return match declined(&mut next()) {
            Ok(reply) => Answer::OfReplica(reply),
            Err(text) => Answer::Declined(text),
        };
    }
    let before = match ownership(&next()) {
        Ok(before) => before,
        Err(text) => return Answer::Odd(text),
    };
    let counts: Vec<i64> = (0..counts).map(|_| integer(&next())).collect();
    if !with_command {
        return Answer::Whole { after: before.clone(), before, counts, reply: None };
    }
    let reply = match declined(&mut next()) {
        Ok(reply) => reply,
        Err(text) => return Answer::Declined(text),
    };
    if reply.starts_with(b"-") {
        // It is the answer, whatever the node owns.
        return Answer::Whole { after: before.clone(), before, counts, reply: Some(reply) };
    }
    match ownership(&next()) {
        Ok(after) => Answer::Whole { before, counts, reply: Some(reply), after },
        Err(text) => Answer::Odd(text),
    }
}

/// The reply, unless it says that the node cannot serve at the moment.
fn declined(reply: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    if reply.first() != Some(&b'-') {
        return Ok(std::mem::take(reply));
    }
    match returned::classify(reply) {
        Some(ReturnReason::Unavailable(_, text)) => Err(text),
        // No key has been named, so there is nothing to redirect.
        Some(ReturnReason::Moved(_) | ReturnReason::Ask(_)) => Err(texts::BAD_REDIRECT.to_owned()),
        _ => Ok(std::mem::take(reply)),
    }
}

fn ownership(frame: &[u8]) -> Result<Box<Ownership>, String> {
    let text = match frame.first() {
        Some(b'-') => {
            let text = String::from_utf8_lossy(frame.get(1..).unwrap_or_default());
            let own_words = BackendError::of_frame(frame).answer().map(str::to_owned);
            return Err(own_words.unwrap_or_else(|| texts::owner_unknown(text.trim_end())));
        }
        // In RESP3 a text has its form before it: `txt:`.
        Some(b'=') => text_behind(frame, 1 + "txt:".len()),
        Some(b'$') => text_behind(frame, 1),
        _ => None,
    };
    let owned = text.and_then(Ownership::read).map(Box::new);
    owned.ok_or_else(|| texts::owner_unknown("no list of nodes"))
}

/// The text that begins so many bytes behind the end of the first line.
fn text_behind(frame: &[u8], count: usize) -> Option<&str> {
    let end = frame.iter().position(|byte| *byte == b'\n')?;
    std::str::from_utf8(frame.get(end + count..)?).ok()
}

fn integer(frame: &[u8]) -> i64 {
    match Value::decode(frame) {
        Ok(Some((Value::Int(number), _))) => number,
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    #[test]
    fn only_what_takes_long_takes_the_long_lane() {
        let table = CommandTable::builtin();
        let lane = |name: &str, words| {
            let (_, command) = table.iter().find(|(_, row)| row.name == name).expect("a command");
            lane_of(command, words)
        };
        for name in ["keys", "flushall", "flushdb"] {
            assert_eq!(lane(name, 2), Lane::Long, "{name}");
        }
        for name in ["dbsize", "info", "randomkey", "script|load", "script|exists", "config|get"] {
            assert_eq!(lane(name, 3), Lane::Quick, "{name}");
        }
        assert_eq!(lane("script|exists", 5000), Lane::Long);
    }
}
