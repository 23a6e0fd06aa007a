//! Messages of one name while its subscription moves from one node to another.
//!
//! Owns the question which messages have come by both ways. The cluster brings a message to either
//! node, sooner or later: from the moment at which the new node has taken note, every message comes by
//! both. For a while the old node's are passed on and the new node's are kept; then what was kept and
//! has not come from the old node is passed on too. Messages are told apart by what they say. Pure.
//!
//! A message that the old node had sent just before may reach the new one only after it has taken
//! note. So the last ones from before are remembered too.

use std::collections::{HashMap, VecDeque};

use crate::backend::NodeAddress;

/// Bytes that are kept of one name; with more, the handover is over at once.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Messages from before that are remembered, and their bytes; the last one always is.
const EARLIER_MAX: usize = 1000;
const EARLIER_BYTES_MAX: usize = 256 << 10;

/// A message: its channel, where that is not the name, and what it says.
pub(super) type Message = (Option<Box<[u8]>>, Box<[u8]>);

/// A subscription on its way.
#[derive(Debug)]
pub(super) struct Handover {
    /// The new node.
    pub(super) node: NodeAddress,
    /// The new node has taken note.
    has_begun: bool,
    /// What the old node sent last before that.
    earlier: VecDeque<Message>,
    earlier_bytes: usize,
    /// What the old node has sent since then, and how often.
    seen: HashMap<Message, usize>,
    /// What the new node has sent.
    kept: VecDeque<Message>,
    bytes: usize,
}

impl Handover {
    pub(super) fn to(node: NodeAddress) -> Handover {
        Handover {
            node,
            has_begun: false,
            earlier: VecDeque::new(),
            earlier_bytes: 0,
            seen: HashMap::new(),
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The new node has taken note.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The old node has sent this.
    pub(super) fn see(&mut self, message: Message) {
        if self.has_begun {
            self.bytes += message.1.len();
            *self.seen.entry(message).or_default() += 1;
            return;
        }
        self.earlier_bytes += message.1.len();
        self.earlier.push_back(message);
        while self.earlier.len() > EARLIER_MAX
            || self.earlier_bytes > EARLIER_BYTES_MAX && self.earlier.len() > 1
        {
            let Some((_, oldest)) = self.earlier.pop_front() else { break };
            self.earlier_bytes -= oldest.len();
        }
    }

    /// The new node has sent this.
    pub(super) fn keep(&mut self, message: Message) {
        self.bytes += message.1.len();
        self.kept.push_back(message);
    }

    /// Whether so much is kept that it has to end.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > KEPT_BYTES_MAX
    }

    /// It is over: what only the new node has sent, in order.
    ///
    /// One of several that say the same cannot be told from the others. It is passed on twice rather
    /// than never, so what came before counts only for a message that came once.
    pub(super) fn end(self) -> Vec<Message> {
        let Handover { earlier, mut seen, kept, .. } = self;
        let mut before = HashMap::<Message, usize>::new();
        for message in earlier {
            *before.entry(message).or_default() += 1;
        }
        before.retain(|message, count| *count == 1 && !seen.contains_key(message));
        let is_new = |message: &Message| match seen.get_mut(message) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => before.remove(message).is_none(),
        };
        kept.into_iter().filter(is_new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handover() -> Handover {
        Handover::to(NodeAddress {
            id: "a".into(),
            address: ([127, 0, 0, 1], 1).into(),
            name: "a".into(),
        })
    }

    fn message(text: &str) -> Message {
        (None, text.as_bytes().into())
    }

    fn ended(handover: Handover) -> Vec<String> {
        let text = |message: Message| String::from_utf8(message.1.into_vec()).unwrap();
        handover.end().into_iter().map(text).collect()
    }

    #[test]
    fn each_message_is_passed_on_once() {
        let mut handover = handover();
        // By the old one alone, and on its way to the new one when that took note.
        handover.see(message("a"));
        handover.see(message("b"));
        handover.begin();
        for text in ["b", "c", "c", "d", "e"] {
            handover.keep(message(text));
        }
        handover.see(message("c"));
        handover.see(message("d"));
        assert!(!handover.is_full());
        assert_eq!(ended(handover), ["c", "e"]);
    }

    #[test]
    fn what_says_the_same_again_and_again_is_never_left_out() {
        let mut handover = handover();
        for _ in 0..3 {
            handover.see(message("tick"));
        }
        handover.begin();
        for _ in 0..3 {
            handover.keep(message("tick"));
        }
        handover.see(message("tick"));
        assert_eq!(ended(handover), ["tick", "tick"]);
    }

    #[test]
    fn what_is_remembered_from_before_is_bounded() {
        let mut handover = handover();
        for n in 0..2 * EARLIER_MAX {
            handover.see(message(&n.to_string()));
        }
        assert_eq!(handover.earlier.len(), EARLIER_MAX);
        for _ in 0..2 {
            handover.see((None, vec![0; EARLIER_BYTES_MAX].into()));
        }
        assert_eq!(handover.earlier.len(), 1);
        assert_eq!(handover.earlier_bytes, EARLIER_BYTES_MAX);
    }

    #[test]
    fn an_old_node_that_is_silent_has_sent_nothing() {
        let mut handover = handover();
        handover.begin();
        handover.keep(message("a"));
        handover.keep((Some(b"x".as_slice().into()), b"a".as_slice().into()));
        handover.see((Some(b"y".as_slice().into()), b"a".as_slice().into()));
        assert_eq!(ended(handover), ["a", "a"]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut handover = handover();
        handover.begin();
        handover.keep((None, vec![0; KEPT_BYTES_MAX].into()));
        assert!(!handover.is_full());
        handover.see(message("a"));
        assert!(handover.is_full());
    }
}
