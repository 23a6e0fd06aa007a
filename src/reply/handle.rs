//! The claim of a client on one reply.
//!
//! Owns where a reply goes: straight to the client, or into a gathering of several nodes' replies.
//! It travels with the request through pipelines and retries. Invariant: a reply handle is redeemed or,
//! when dropped, answers with an error: no client waits for a reply that cannot come.

use std::rc::Rc;

use super::client_writer::Writer;
use super::{CloseReason, Gather, ReturnReason, texts};
use crate::slot::Slot;

/// A client's way out, which keeps the requests that come back for its session.
pub type ClientWriter = Writer<ReturnedRequest>;

/// A request that has no reply yet and needs a decision.
#[derive(Debug)]
pub struct ReturnedRequest {
    /// Whose request it is.
    pub handle: ReplyHandle,
    /// The request, ready to be sent again.
    pub request: Vec<u8>,
    /// What happened.
    pub why: ReturnReason,
}

/// One awaited reply.
#[derive(Debug)]
pub struct ReplyHandle {
    client_writer: Rc<ClientWriter>,
    /// Place in the client's line.
    pub seq: u64,
    /// Set when the reply is one part of a gathering: which part.
    part: Option<(Rc<Gather>, u32)>,
    /// The slot whose shard answers it; one without keys goes to some slot's shard, too.
    pub slot: Slot,
    /// Row of the command table.
    pub command: u16,
    /// What may be done with it when it comes back without its answer.
    pub on_failure: OnFailure,
    /// What has been tried so far; `None` until it first comes back unanswered.
    retry: Option<Box<Retry>>,
    /// When it was read from the client, in microseconds of the worker's clock.
    pub begun_us: u64,
    redeemed: bool,
}

/// The story of a request that came back unanswered; times are of the worker's clock, 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    /// How often it has been sent again.
    pub tries: u16,
    /// How many redirects in a row it has followed.
    pub redirects: u16,
    /// How often it was sent again because a connection was lost before the answer.
    pub losses: u16,
    /// When it first came back.
    pub first_returned_us: u64,
    /// When it was last sent again.
    pub sent_us: u64,
}

/// What may be done with a request that has come back without its answer. It is sent again in any case
/// when it provably did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It only reads: it may run twice.
    Resend,
    /// It may change data: it must not run twice.
    ResendIfUnsent,
    /// It runs a client's script, which may have changed data and may return any error text: what
    /// looks like the node's own words may be the script's.
    Script,
    /// As [`OnFailure::Script`], but the node sees to it that it only reads.
    ReadOnlyScript,
    /// It only reads, and the node that answers gives out a cursor that means something to it alone.
    BeginCursor,
    /// It only reads, and has such a cursor: another node would answer something else.
    ContinueCursor,
    /// A transaction as one block, from MULTI to EXEC. It may change data.
    Block,
    /// Such a block of commands that only read.
    ReadOnlyBlock,
    /// Such a block with clients' scripts in it.
    ScriptBlock,
    /// A script over a whole slot, which may change data: a node that has only a part of the slot must
    /// not run it.
    WholeSlot,
    /// Such a script that only reads.
    ReadOnlyWholeSlot,
}

impl OnFailure {
    /// For a request that only reads or may not, and runs a client's script or does not.
    #[inline(always)]
    pub fn of(only_reads: bool, is_script: bool) -> OnFailure {
        match (only_reads, is_script) {
            (true, false) => OnFailure::Resend,
            (false, false) => OnFailure::ResendIfUnsent,
            (false, true) => OnFailure::Script,
            (true, true) => OnFailure::ReadOnlyScript,
        }
    }

    /// Whether it may run twice without harm.
    #[inline]
    pub fn may_run_twice(self) -> bool {
        !matches!(
            self,
            OnFailure::ResendIfUnsent
                | OnFailure::Script
                | OnFailure::Block
                | OnFailure::ScriptBlock
                | OnFailure::WholeSlot
        )
    }

    /// Whether it is to run only where all of its slot is.
    #[inline]
    pub fn wants_whole_slot(self) -> bool {
        matches!(self, OnFailure::WholeSlot | OnFailure::ReadOnlyWholeSlot)
    }

    /// Whether its reply is made by a client's script, or has such replies in it.
    #[inline(always)]
    pub fn is_script(self) -> bool {
        matches!(
            self,
            OnFailure::Script
                | OnFailure::ReadOnlyScript
                | OnFailure::ScriptBlock
                | OnFailure::WholeSlot
                | OnFailure::ReadOnlyWholeSlot
        )
    }

    /// Whether it is several requests in one: a transaction.
    #[inline(always)]
    pub fn is_block(self) -> bool {
        matches!(self, OnFailure::Block | OnFailure::ReadOnlyBlock | OnFailure::ScriptBlock)
    }
}

/// What every reply handle of a request has in common.
#[derive(Clone, Copy, Debug)]
pub struct RequestMeta {
    /// The slot whose shard answers it.
    pub slot: Slot,
    /// Row of the command table.
    pub command: u16,
    /// What may be done with it when it comes back without its answer.
    pub on_failure: OnFailure,
    /// When it was read, in microseconds of the worker's clock.
    pub begun_us: u64,
}

/// What a client has after a reply handle was redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Its reply, which is this reply handle's.
    Whole,
    /// Its reply, made of this reply handle's and those of other parts.
    Merged {
        /// Whether that is an error.
        is_error: bool,
    },
    /// Nothing yet: other parts are missing.
    NotYet,
}

impl ReplyHandle {
    /// A claim on the whole reply of request `seq`.
    #[inline(always)]
    pub fn new(client_writer: Rc<ClientWriter>, seq: u64, meta: RequestMeta) -> ReplyHandle {
        let RequestMeta { slot, command, on_failure, begun_us } = meta;
        ReplyHandle {
            client_writer,
            seq,
            part: None,
            slot,
            command,
            on_failure,
            retry: None,
            begun_us,
            redeemed: false,
        }
    }

    /// A claim on part `index` of a gathering that answers request `seq`.
    pub fn part(
        client_writer: Rc<ClientWriter>,
        seq: u64,
        meta: RequestMeta,
        gather: Rc<Gather>,
        index: u32,
    ) -> ReplyHandle {
        let mut handle = ReplyHandle::new(client_writer, seq, meta);
        handle.part = Some((gather, index));
        handle
    }

    /// Takes a piece of the reply that is not its last.
    #[inline]
    pub fn piece(&self, bytes: &[u8]) {
        match &self.part {
            None => self.client_writer.deliver(self.seq, bytes, false),
            Some((gather, index)) => {
                gather.piece(*index, bytes);
                self.client_writer.note_gathered(bytes.len());
            }
        }
    }

    /// Takes the last piece of the reply; once only. By reference, so that a pipeline need not move
    /// the reply handle.
    #[inline(always)]
    pub fn answer(&mut self, bytes: &[u8]) -> Answered {
        debug_assert!(!self.redeemed, "a second reply");
        self.redeemed = true;
        self.client_writer.note_answered(self.slot, self.seq);
        let Some((gather, index)) = &self.part else {
            self.client_writer.deliver(self.seq, bytes, true);
            return Answered::Whole;
        };
        self.client_writer.note_gathered(bytes.len());
        let Some(gathered) = gather.finish(*index, bytes) else {
            return Answered::NotYet;
        };
        self.client_writer.note_merged(gathered.bytes);
        let mut first = None;
        gathered.merge(&mut |piece, whole| {
            first = first.or(piece.first().copied());
            self.client_writer.deliver(self.seq, piece, whole);
        });
        Answered::Merged { is_error: first == Some(b'-') }
    }

    /// Answers with an error made by the gateway; `text` begins with its code word.
    pub fn fail(mut self, text: &str) -> Answered {
        let mut line = Vec::with_capacity(text.len() + 3);
        crate::resp::write::error(&mut line, text);
        self.answer(&line)
    }

    /// Hands the request back to the client's session, which decides what becomes of it.
    pub fn returned(self, request: Vec<u8>, why: ReturnReason) {
        let client_writer = Rc::clone(&self.client_writer);
        client_writer.add_returned(ReturnedRequest { handle: self, request, why });
    }

    /// What has been tried so far, if it ever came back unanswered.
    pub fn retry(&self) -> Option<&Retry> {
        self.retry.as_deref()
    }

    /// What has been tried so far, to be added to.
    pub fn retry_mut(&mut self) -> &mut Retry {
        self.retry.get_or_insert_default()
    }

    /// The reply will be another node's than the map's, this once.
    pub fn note_elsewhere(&self) {
        if let (OnFailure::BeginCursor, Some((gather, _))) = (self.on_failure, &self.part) {
            gather.note_elsewhere();
        }
    }

    /// The client's way out.
    pub fn writer(&self) -> &Rc<ClientWriter> {
        &self.client_writer
    }

    /// The reply broke off after [`ReplyHandle::piece`]: what came of it cannot be taken back. A client
    /// that has read half a reply can only be cut off; a gathering forgets the half. Returns the
    /// reply handle when the request can still be answered.
    pub fn broke_off(mut self) -> Option<ReplyHandle> {
        match &self.part {
            None => {
                self.redeemed = true;
                self.client_writer.cut(CloseReason::HalfReply);
                None
            }
            Some((gather, index)) => {
                gather.forget(*index);
                Some(self)
            }
        }
    }
}

impl Drop for ReplyHandle {
    fn drop(&mut self) {
        if !self.redeemed {
            self.answer(texts::LOST_INSIDE);
        }
    }
}
