//! The connections of one client that tracks keys: what they are told, and who hears of changes.
//!
//! A client that tracks has connections to the nodes for itself, so that the nodes know what it has
//! read. Owns the greeting of such a connection, which requests are to be preceded by CLIENT CACHING,
//! and the way of what the nodes say to whoever passes it on. Must not know clients.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{BackendError, Connection, Identity, MessageStream, Upstream};
use crate::metrics::NodeStats;
use crate::resp::number::{Line, integer_line};
use crate::resp::{Protocol, write};

/// What nodes send when keys have changed, up to the keys.
const INVALIDATE: &[u8] = b">2\r\n$10\r\ninvalidate\r\n";
/// Longer ones are taken for a change of everything.
pub(super) const PUSH_BYTES_MAX: usize = 1 << 20;
/// Asks for the tracking of the next request's keys (OPTIN).
const CACHING_YES: &[u8] = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n";
/// Asks for the opposite (OPTOUT).
const CACHING_NO: &[u8] = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$2\r\nNO\r\n";

/// Which keys are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackingMode {
    /// All that the client reads.
    #[default]
    Default,
    /// Those that it reads right behind CLIENT CACHING YES.
    OptIn,
    /// All that it reads, but for those right behind CLIENT CACHING NO.
    OptOut,
    /// All keys with one of the prefixes, whoever reads them.
    Broadcast,
}

/// What a client asks for with CLIENT TRACKING ON, but for where the messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingOptions {
    /// Which keys.
    pub mode: TrackingMode,
    /// Not those that the client has changed itself.
    pub no_loop: bool,
    /// Of [`TrackingMode::Broadcast`].
    pub prefixes: BTreeSet<Vec<u8>>,
}

impl TrackingOptions {
    /// The request for a node, by which messages go to its client `redirect`, if there is one.
    fn request(&self, redirect: Option<u64>) -> Vec<u8> {
        let redirect = redirect.map(|id| id.to_string());
        let mut words: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON"];
        if let Some(id) = &redirect {
            words.extend([&b"REDIRECT"[..], id.as_bytes()]);
        }
        match self.mode {
            TrackingMode::Default => {}
            TrackingMode::OptIn => words.push(b"OPTIN"),
            TrackingMode::OptOut => words.push(b"OPTOUT"),
            TrackingMode::Broadcast => words.push(b"BCAST"),
        }
        if self.no_loop {
            words.push(b"NOLOOP");
        }
        // The empty one covers all others, and a node lets none overlap.
        if !self.prefixes.contains(&b""[..]) {
            words.extend(self.prefixes.iter().flat_map(|prefix| [&b"PREFIX"[..], prefix]));
        }
        let mut request = Vec::new();
        write::request(&mut request, &words);
        request
    }
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation<'a> {
    /// These keys: an array, as the node has sent it.
    Keys(&'a [u8]),
    /// All keys may have.
    All,
}

/// Whoever passes on what has changed.
pub trait Invalidations: Debug {
    /// Takes what has changed. It must come to the client behind all replies before `not_before`.
    fn take(&self, what: Invalidation<'_>, not_before: u64);
}

/// What all connections of one tracking client have in common.
#[derive(Debug)]
pub struct Tracker {
    options: TrackingOptions,
    /// Which RESP the client speaks, and so its connections.
    protocol: Protocol,
    /// The messages of connections that cannot carry them are wanted all the same.
    redirects: bool,
    sink: Rc<dyn Invalidations>,
    /// Requests under way that CLIENT CACHING precedes, by their place in the client's line.
    opted: RefCell<BTreeSet<u64>>,
    /// All masters have been asked to broadcast: a connection that opens later has missed something.
    is_standing: Cell<bool>,
    /// A node does not take it.
    has_failed: Cell<bool>,
    is_over: Cell<bool>,
}

impl Tracker {
    /// For a client that speaks `protocol`. With `redirects` the messages go elsewhere.
    pub fn new(
        options: TrackingOptions,
        (protocol, redirects): (Protocol, bool),
        sink: Rc<dyn Invalidations>,
    ) -> Tracker {
        Tracker {
            options,
            protocol,
            redirects,
            sink,
            opted: RefCell::default(),
            is_standing: Cell::new(false),
            has_failed: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    /// Which RESP the client speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether it must have a connection to every master at all times.
    pub fn broadcasts(&self) -> bool {
        self.options.mode == TrackingMode::Broadcast
    }

    /// Whether it has been made of these.
    pub fn is_for(&self, options: &TrackingOptions, how: (Protocol, bool)) -> bool {
        self.options == *options && (self.protocol, self.redirects) == how
    }

    /// Whether the nodes can say to anybody what has changed.
    pub fn can_tell(&self) -> bool {
        self.redirects || self.protocol == Protocol::Resp3
    }

    /// All masters have answered, or one has refused.
    pub fn set_standing(&self, is_standing: bool) {
        self.is_standing.set(is_standing);
        self.has_failed.set(!is_standing);
    }

    /// Whether a node does not take it.
    pub fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    /// Whether somebody wants to hear of changes, and no node has refused to tell.
    pub fn is_wanted(&self) -> bool {
        !self.is_over.get() && !self.has_failed.get()
    }

    /// Nobody wants to hear anything any more.
    pub(super) fn end(&self) {
        self.is_over.set(true);
    }

    /// CLIENT CACHING precedes request `seq` wherever it is sent. All before `answered` are done with.
    pub fn opt(&self, seq: u64, answered: u64) {
        let mut opted = self.opted.borrow_mut();
        *opted = opted.split_off(&answered);
        opted.insert(seq);
    }

    /// Whether the nodes note what request `seq` reads, when it is sent over these connections.
    pub fn tracks(&self, seq: u64) -> bool {
        let is_opted = self.opted.borrow().contains(&seq);
        match self.options.mode {
            TrackingMode::Default => true,
            TrackingMode::OptIn => is_opted,
            TrackingMode::OptOut => !is_opted,
            TrackingMode::Broadcast => false,
        }
    }

    /// What precedes request `seq`, if anything does.
    pub(super) fn prefix_of(&self, seq: u64) -> Option<&'static [u8]> {
        let request = match self.options.mode {
            TrackingMode::OptIn => CACHING_YES,
            TrackingMode::OptOut => CACHING_NO,
            TrackingMode::Default | TrackingMode::Broadcast => return None,
        };
        self.opted.borrow().contains(&seq).then_some(request)
    }

    /// Nothing can precede request `seq` this once: what it reads may not be tracked.
    pub(super) fn forgo_prefix(&self, seq: u64) {
        let was_opted = self.opted.borrow_mut().remove(&seq);
        if was_opted && self.options.mode == TrackingMode::OptIn {
            self.flush(seq + 1);
        }
    }

    /// What the client has cached may be out of date, up to the replies before `not_before`.
    pub fn flush(&self, not_before: u64) {
        if !self.is_over.get() {
            self.sink.take(Invalidation::All, not_before);
        }
    }

    /// A connection has opened.
    pub(super) fn note_opened(&self, answered: u64) {
        if self.is_standing.get() && self.broadcasts() {
            self.flush(answered);
        }
    }

    /// A node has said something that nobody asked for, behind the replies before `answered`.
    pub(super) fn take_push(&self, frame: &[u8], answered: u64) {
        if self.is_over.get() {
            return;
        }
        match read_push(frame) {
            Some(what) => self.sink.take(what, answered),
            None => tracing::debug!("a node says something else than which keys have changed"),
        }
    }

    /// A node has said more at once than is taken.
    pub(super) fn take_too_long(&self, answered: u64) {
        self.flush(answered);
    }

    /// Has the node track what is read over this connection. In RESP2 the node cannot say there what
    /// has changed: where somebody wants to hear it, it says so over a second connection, which is
    /// returned. That one is lost when either is.
    pub(super) async fn greet(
        &self,
        connection: &mut Connection,
        (upstream, stats): (&Upstream, &Arc<NodeStats>),
        timeout: Duration,
    ) -> Result<Option<MessageStream>, BackendError> {
        let needs_second = self.redirects && upstream.identity.protocol == Protocol::Resp2;
        let (redirect, messages) = match needs_second {
            false => (None, None),
            true => {
                let (id, messages) = open_messages((upstream, stats), timeout).await?;
                (Some(id), Some(messages))
            }
        };
        let reply = connection.ask_frame(&self.options.request(redirect)).await?;
        if reply != write::OK {
            return Err(refused(&reply));
        }
        Ok(messages)
    }
}

/// Opens the connection on which a node says what has changed; returns what the node calls it.
async fn open_messages(
    (upstream, stats): (&Upstream, &Arc<NodeStats>),
    timeout: Duration,
) -> Result<(u64, MessageStream), BackendError> {
    let identity = Identity { protocol: Protocol::Resp3, ..Identity::clone(&upstream.identity) };
    let upstream = Upstream { node: upstream.node.clone(), identity: Rc::new(identity) };
    let mut connection = Connection::to_node(&upstream, timeout).await?;
    let reply = connection.ask_frame(b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n").await?;
    let Line::Integer { value, .. } = integer_line(&reply) else { return Err(refused(&reply)) };
    let id = u64::try_from(value).map_err(|_| refused(&reply))?;
    Ok((id, MessageStream::new(connection, Arc::clone(stats))))
}

fn refused(reply: &[u8]) -> BackendError {
    let text = String::from_utf8_lossy(reply.strip_prefix(b"-").unwrap_or(reply));
    BackendError::of_answer(text.trim().into())
}

/// What a node has said. `None`: nothing about keys.
fn read_push(frame: &[u8]) -> Option<Invalidation<'_>> {
    let keys = frame.strip_prefix(INVALIDATE)?;
    match keys.first() {
        Some(b'*') if !keys.starts_with(b"*-") => Some(Invalidation::Keys(keys)),
        _ => Some(Invalidation::All),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Heard(RefCell<Vec<(String, u64)>>);

    impl Invalidations for Heard {
        fn take(&self, what: Invalidation<'_>, not_before: u64) {
            let what = match what {
                Invalidation::Keys(keys) => String::from_utf8_lossy(keys).into_owned(),
                Invalidation::All => "all".to_owned(),
            };
            self.0.borrow_mut().push((what, not_before));
        }
    }

    fn tracker(mode: TrackingMode) -> (Tracker, Rc<Heard>) {
        let heard = Rc::new(Heard::default());
        let options = TrackingOptions { mode, ..TrackingOptions::default() };
        let sink: Rc<dyn Invalidations> = Rc::clone(&heard) as _;
        (Tracker::new(options, (Protocol::Resp3, false), sink), heard)
    }

    fn words(options: &TrackingOptions, redirect: Option<u64>) -> String {
        let request = String::from_utf8(options.request(redirect)).unwrap();
        request.split("\r\n").skip(2).step_by(2).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    #[test]
    fn a_node_is_told_what_the_client_wants() {
        let mut options = TrackingOptions::default();
        assert_eq!(words(&options, None), "CLIENT TRACKING ON");
        options.no_loop = true;
        options.mode = TrackingMode::OptIn;
        assert_eq!(words(&options, Some(7)), "CLIENT TRACKING ON REDIRECT 7 OPTIN NOLOOP");
        options.mode = TrackingMode::Broadcast;
        options.prefixes = [b"a".to_vec(), b"b".to_vec()].into();
        assert_eq!(words(&options, None), "CLIENT TRACKING ON BCAST NOLOOP PREFIX a PREFIX b");
        options.prefixes.insert(Vec::new());
        assert_eq!(words(&options, None), "CLIENT TRACKING ON BCAST NOLOOP");
    }

    #[test]
    fn what_a_node_says_is_read() {
        let keys = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
        assert_eq!(read_push(keys), Some(Invalidation::Keys(b"*1\r\n$1\r\nk\r\n")));
        for all in [&b">2\r\n$10\r\ninvalidate\r\n_\r\n"[..], b">2\r\n$10\r\ninvalidate\r\n*-1\r\n"]
        {
            assert_eq!(read_push(all), Some(Invalidation::All));
        }
        assert_eq!(read_push(b">2\r\n$7\r\nmessage\r\n$1\r\na\r\n"), None);
    }

    #[test]
    fn caching_precedes_a_request_wherever_it_goes() {
        let (tracker, heard) = tracker(TrackingMode::OptIn);
        tracker.opt(3, 0);
        tracker.opt(5, 4);
        assert_eq!(tracker.prefix_of(3), None, "it has been answered");
        assert_eq!(tracker.prefix_of(5), Some(CACHING_YES));
        assert!(tracker.tracks(5) && !tracker.tracks(6));
        tracker.forgo_prefix(6);
        assert!(heard.0.borrow().is_empty());
        tracker.forgo_prefix(5);
        assert_eq!(*heard.0.borrow(), [("all".to_owned(), 6)]);
        assert_eq!(tracker.prefix_of(5), None);
    }

    #[test]
    fn who_opts_out_is_tracked_where_nothing_can_precede() {
        let (tracker, heard) = tracker(TrackingMode::OptOut);
        tracker.opt(1, 0);
        assert_eq!(tracker.prefix_of(1), Some(CACHING_NO));
        assert!(!tracker.tracks(1) && tracker.tracks(2));
        tracker.forgo_prefix(1);
        assert!(tracker.tracks(1) && heard.0.borrow().is_empty());
    }

    #[test]
    fn a_broadcast_that_opens_again_has_missed_something() {
        let (tracker, heard) = tracker(TrackingMode::Broadcast);
        tracker.note_opened(0);
        assert!(heard.0.borrow().is_empty());
        tracker.set_standing(true);
        tracker.note_opened(4);
        tracker.end();
        tracker.flush(9);
        assert_eq!(*heard.0.borrow(), [("all".to_owned(), 4)]);
    }
}
