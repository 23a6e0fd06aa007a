//! WATCH, and the transaction behind it: over a connection that the client has for itself meanwhile.
//!
//! Owns the asking. A node forgets what a connection watched when EXEC has been answered, so that the
//! connection is anybody's again. What was watched where cannot be told any more is changed, as far as
//! the client is concerned: EXEC answers nil, and it tries again, as it must in any case. Must not know
//! sessions.

use std::cell::RefCell;
use std::rc::Rc;

use super::Router;
use super::fanout::Asker;
use super::pursuit::{Place, Pursuit};
use crate::backend::pipeline::ASKING;
use crate::backend::{Asked, BackendError, Lane, LeaseError};
use crate::metrics::Outcome;
use crate::reply::merge::Make;
use crate::reply::{CloseReason, returned, texts};
use crate::resp::{Protocol, write};
use crate::slot::Slot;

const UNWATCH: &[u8] = b"*1\r\n$7\r\nUNWATCH\r\n";
/// Longest answer to a question of a connection's own state.
const SHORT_BYTES_MAX: usize = 64 * 1024;

/// What one client watches.
#[derive(Debug)]
pub enum Watched {
    /// Keys of this slot; the connection knows which.
    Keys(Slot, Box<WatchLease>),
    /// Keys of this slot that may have been changed unseen.
    Lost(Slot),
}

/// The connection of a client that watches.
#[derive(Debug)]
pub struct WatchLease(Place);

impl WatchLease {
    /// Whoever drops it before EXEC or UNWATCH has been answered leaves behind what is watched: until
    /// then nobody else may have the connection.
    fn new(mut place: Place) -> WatchLease {
        place.lease.spoil();
        WatchLease(place)
    }
}

impl Watched {
    /// The slot of all its keys.
    pub fn slot(&self) -> Slot {
        match self {
            Watched::Keys(slot, _) | Watched::Lost(slot) => *slot,
        }
    }
}

/// Where a client keeps what it watches. Whoever asks a node takes it, and puts it back.
pub type WatchCell = Rc<RefCell<Option<Watched>>>;

/// A transaction for the node where its keys are watched.
pub struct WatchedBlock {
    /// Whose it is.
    pub asker: Asker,
    /// From MULTI to EXEC.
    pub block: Vec<u8>,
    /// How many requests these are.
    pub count: usize,
    /// It has scripts in it, whose replies may be anything.
    pub has_scripts: bool,
    /// Makes the client's reply of the node's.
    pub make: Option<Make>,
}

impl Router {
    /// WATCH: has the slot's master watch the keys that the request names.
    pub async fn watch(
        self: Rc<Self>,
        asker: Asker,
        slot: Slot,
        request: Vec<u8>,
        cell: WatchCell,
    ) {
        let before = cell.take();
        let watched = match before {
            // It is too late already, and more keys change nothing.
            Some(Watched::Lost(_)) => Ok(Watched::Lost(slot)),
            Some(Watched::Keys(_, lease)) => Ok(self.watch_more(slot, *lease, &request).await),
            None => self.watch_first(slot, asker.protocol, &request).await,
        };
        let outcome = match watched {
            Ok(watched) => {
                *cell.borrow_mut() = Some(watched);
                asker.writer.deliver(asker.seq, write::OK, true);
                Outcome::Ok
            }
            Err(frame) => {
                asker.writer.deliver(asker.seq, &frame, true);
                Outcome::Error
            }
        };
        self.note_answered(asker.meta, outcome);
    }

    async fn watch_first(
        &self,
        slot: Slot,
        protocol: Protocol,
        request: &[u8],
    ) -> Result<Watched, Vec<u8>> {
        let mut pursuit = Pursuit::new(slot, protocol, Lane::Watching);
        loop {
            let place = pursuit.place(self).await;
            let mut place = place.map_err(|text| texts::frame(&text))?;
            let node = place.node.clone();
            let failed = match self.unless_deposed(&node, place.ask(request)).await {
                Ok(frame) if frame == write::OK => {
                    return Ok(Watched::Keys(slot, Box::new(WatchLease::new(place))));
                }
                Ok(frame) => match returned::classify(&frame) {
                    None => return Err(frame),
                    Some(mut why) => {
                        why.said_by(place.node.address.ip());
                        // It watches nothing, and somebody else may use it meanwhile.
                        drop(place);
                        pursuit.fails(self, &why).await
                    }
                },
                Err(error) => pursuit.note_lost(self, &error).await,
            };
            failed.map_err(|text| texts::frame(&text))?;
        }
    }

    async fn watch_more(&self, slot: Slot, lease: WatchLease, request: &[u8]) -> Watched {
        let mut place = lease.0;
        let node = place.node.clone();
        match self.unless_deposed(&node, place.ask(request)).await {
            Ok(frame) if frame == write::OK => {
                Watched::Keys(slot, Box::new(WatchLease::new(place)))
            }
            _ => {
                place.lease.spoil();
                Watched::Lost(slot)
            }
        }
    }

    /// The client watches nothing any more: its connection becomes anybody's, once the node has said so.
    pub fn unwatch(&self, watched: Watched) {
        let Watched::Keys(_, lease) = watched else { return };
        tokio::task::spawn_local(async move {
            let mut place = lease.0;
            if !matches!(place.ask(UNWATCH).await, Ok(frame) if frame == write::OK) {
                place.lease.spoil();
            }
        });
    }

    /// Runs a transaction where its keys are watched, and answers the client.
    pub async fn exec_watched(self: Rc<Self>, exec: WatchedBlock, watched: Watched) {
        let WatchedBlock { asker, block, count, has_scripts, make } = exec;
        let Asker { writer, seq, meta, protocol } = asker;
        let bytes_max = writer.output_bytes_max();
        let answer = match watched {
            Watched::Lost(_) => nil(protocol),
            Watched::Keys(slot, lease) if !self.still_serves(slot, &lease.0) => {
                drop(lease);
                nil(protocol)
            }
            Watched::Keys(_, lease) => {
                let mut place = lease.0;
                let asked = self.exec_at(&mut place, &block, (count, bytes_max)).await;
                if has_scripts {
                    place.lease.spoil();
                }
                match asked {
                    Ok(frames) => reply_of(frames, protocol),
                    // More than the client may be sent: as on the shared connections.
                    Err(LeaseError { error: BackendError::TooLong, .. }) => {
                        return writer.cut(CloseReason::OutputLimit);
                    }
                    Err(LeaseError { was_sent: true, .. }) if !meta.on_failure.may_run_twice() => {
                        texts::frame(texts::INDETERMINATE)
                    }
                    Err(_) => nil(protocol),
                }
            }
        };
        let answer = match make {
            Some(make) if answer.starts_with(b"*") => make(&[&answer]),
            _ => answer,
        };
        let outcome = if answer.starts_with(b"-") { Outcome::Error } else { Outcome::Ok };
        writer.deliver(seq, &answer, true);
        self.note_answered(meta, outcome);
    }

    /// Whether the node is a master as far as anybody knows. One that was frozen until it was replaced
    /// still takes itself for one when it wakes: what it runs then is lost.
    fn still_serves(&self, slot: Slot, place: &Place) -> bool {
        self.catch_up();
        let is_master = self.map().nodes().any(|(node, _, master)| *node == place.node && master);
        is_master && (place.asking || self.master_node(slot).as_ref() == Some(&place.node))
    }

    pub(super) async fn exec_at(
        &self,
        place: &mut Place,
        block: &[u8],
        (count, bytes_max): (usize, usize),
    ) -> Result<Vec<Vec<u8>>, LeaseError> {
        if place.lease.is_spent() {
            return Err(LeaseError { error: BackendError::Closed, was_sent: false });
        }
        let requests = if place.asking { [ASKING, block].concat() } else { block.to_vec() };
        let count = count + usize::from(place.asking);
        let asked = Asked { requests: &requests, count, bytes_max, ends_with_error_at: None };
        let node = place.node.clone();
        let mut frames = self.unless_deposed(&node, place.lease.ask(&asked)).await?;
        if place.asking {
            frames.remove(0);
        }
        Ok(frames)
    }
}

impl Place {
    /// Asks one question with a short answer.
    async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, LeaseError> {
        let requests = if self.asking { [ASKING, request].concat() } else { request.to_vec() };
        let count = 1 + usize::from(self.asking);
        let bytes_max = SHORT_BYTES_MAX;
        let asked = Asked { requests: &requests, count, bytes_max, ends_with_error_at: None };
        let frames = self.lease.ask(&asked).await?;
        Ok(frames.into_iter().next_back().unwrap_or_default())
    }
}

/// What EXEC answers when something that was watched has changed.
fn nil(protocol: Protocol) -> Vec<u8> {
    let mut out = Vec::new();
    write::null_array(&mut out, protocol);
    out
}

/// The client's reply, of what the node said of MULTI, of each command and of EXEC.
fn reply_of(mut frames: Vec<Vec<u8>>, protocol: Protocol) -> Vec<u8> {
    let Some(exec) = frames.pop() else { return texts::frame(texts::INDETERMINATE) };
    let is_elsewhere = |frame: &[u8]| returned::classify(frame).is_some();
    let declined = frames.iter().find(|frame| frame.starts_with(b"-"));
    if let Some(error) = declined {
        if is_elsewhere(error) {
            return nil(protocol);
        }
        let text = String::from_utf8_lossy(error.get(1..).unwrap_or_default());
        return texts::frame(&texts::exec_abort(text.trim_end()));
    }
    let is_declined = exec.starts_with(b"-") && returned::classify_exec(&exec).is_some();
    if is_declined { nil(protocol) } else { exec }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(frames: &[&str]) -> String {
        let frames = frames.iter().map(|frame| frame.as_bytes().to_vec()).collect();
        String::from_utf8(reply_of(frames, Protocol::Resp2)).expect("text")
    }

    #[test]
    fn what_cannot_be_run_where_it_was_watched_is_changed() {
        assert_eq!(reply(&["+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n"]), "*1\r\n:1\r\n");
        assert_eq!(reply(&["+OK\r\n", "+QUEUED\r\n", "*-1\r\n"]), "*-1\r\n");
        for (word, exec) in [
            ("-MOVED 1 a:1\r\n", "-EXECABORT x\r\n"),
            ("-READONLY x\r\n", "-EXECABORT x\r\n"),
            ("+QUEUED\r\n", "-MOVED 1 a:1\r\n"),
            ("+QUEUED\r\n", "-EXECABORT Transaction discarded because of: -READONLY x\r\n"),
        ] {
            assert_eq!(reply(&["+OK\r\n", word, exec]), "*-1\r\n", "{word} {exec}");
        }
        assert_eq!(
            reply(&["+OK\r\n", "-OOM full\r\n", "-EXECABORT x\r\n"]),
            "-EXECABORT Transaction discarded because of: OOM full\r\n"
        );
    }
}
