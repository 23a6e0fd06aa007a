//! What database 0 does not show: the keys of the other databases, which are at the same nodes.
//!
//! Owns DBSIZE, KEYS, SCAN, RANDOMKEY and FLUSHDB of database 0 where there are others, and the keyspace
//! of INFO. How many keys the others have is asked of each one's slot.

use std::rc::Rc;
use std::sync::Arc;

use super::whole;
use crate::command::Keyspace;
use crate::database::Databases;
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::{Holds, Merge};
use crate::reply::{Gather, ReplyHandle, texts};
use crate::resp::frame::open_array;
use crate::resp::number::{Line, integer_line};
use crate::resp::write;
use crate::router::fanout::proof::Kind;
use crate::router::{self, Asker, Fanout, Router};
use crate::session::Session;
use crate::session::dispatch::{Dispatch, Request};

/// A random key that is no other database's; ARGV: the tags. After some tries all keys are looked at.
const RANDOM: &str = "local function own(k) if string.sub(k,1,1)~='{' then return true end \
    for _,t in ipairs(ARGV) do if string.sub(k,1,#t)==t then return false end end return true end \
    for i=1,20 do local k=redis.call('randomkey') if not k then return false end if own(k) then return k end end \
    local c='0' repeat local r=redis.call('scan',c,'count',1000) c=r[1] \
    for _,k in ipairs(r[2]) do if own(k) then return k end end until c=='0' return false";

/// Removes all keys but those of other databases; ARGV: the tags.
const FLUSH: &str = "local function own(k) if string.sub(k,1,1)~='{' then return true end \
    for _,t in ipairs(ARGV) do if string.sub(k,1,#t)==t then return false end end return true end \
    local c='0' repeat local r=redis.call('scan',c,'count',1000) c=r[1] \
    for _,k in ipairs(r[2]) do if own(k) then redis.call('unlink',k) end end until c=='0' \
    return redis.status_reply('OK')";

/// How many keys a database has, and how many of them expire.
pub(in crate::session) type Size = (u64, u64);

impl Session {
    /// DBSIZE, FLUSHDB or KEYS in database 0. `None`: there is no other, and it goes to all masters.
    pub(in crate::session) fn keyspace(
        &mut self,
        request: Request<'_>,
        what: Keyspace,
    ) -> Option<Dispatch> {
        if self.env.databases.is_one() {
            return None;
        }
        if self.waits_for_earlier() {
            return Some(Dispatch::NotYet);
        }
        let kind = Kind::of(request.command);
        match what {
            Keyspace::Keys => {
                let merge = Merge::ConcatenateIf(self.own_keys());
                return Some(self.ask_all(request, (kind, false, merge)));
            }
            Keyspace::DbSize => self.count_without_others(request, kind),
            Keyspace::FlushDb => self.flush_own(request, kind),
        }
        Some(Dispatch::Done)
    }

    /// Whether a key is database 0's.
    pub(in crate::session) fn own_keys(&self) -> Holds {
        let databases = Arc::clone(&self.env.databases);
        Rc::new(move |key| databases.owner(key).is_none())
    }

    fn count_without_others(&mut self, request: Request<'_>, kind: Kind) {
        let meta = RequestMeta { on_failure: OnFailure::Resend, ..self.meta_of_all(request) };
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        let lane = router::fanout::lane_of(request.command, request.args.len());
        let (request, router) = (request.frame.into(), Rc::clone(&self.env.router));
        let databases = Arc::clone(&self.env.databases);
        self.errand = Some(Box::pin(async move {
            let sizes = match sizes(&router, &databases, &asker).await {
                Ok(sizes) => sizes,
                Err(reply) => return asker.writer.deliver(asker.seq, &reply, true),
            };
            let others: u64 = sizes.iter().map(|(keys, _)| keys).sum();
            let less = move |parts: &[&[u8]]| {
                let number = |part: &&[u8]| match integer_line(part) {
                    Line::Integer { value, .. } => value,
                    _ => 0,
                };
                let all: i64 = parts.iter().map(number).sum();
                let mut out = Vec::new();
                write::integer(&mut out, (all - i64::try_from(others).unwrap_or(all)).max(0));
                out
            };
            let merge = Merge::With(Box::new(less));
            let fanout = Fanout { asker, request, kind, lane, with_replicas: false, merge };
            router.fan_out(fanout).await;
        }));
    }

    fn flush_own(&mut self, request: Request<'_>, kind: Kind) {
        let meta = RequestMeta { on_failure: OnFailure::Resend, ..self.meta_of_all(request) };
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        let lane = router::fanout::lane_of(request.command, request.args.len());
        let (plain, router) = (Rc::<[u8]>::from(request.frame), Rc::clone(&self.env.router));
        let databases = Arc::clone(&self.env.databases);
        self.errand = Some(Box::pin(async move {
            let others = match sizes(&router, &databases, &asker).await {
                Ok(sizes) => sizes.iter().any(|(keys, _)| *keys > 0),
                Err(reply) => return asker.writer.deliver(asker.seq, &reply, true),
            };
            // Where nobody uses another database, a node does it by itself, and far faster.
            let request = if others { over_tags(FLUSH, &databases).into() } else { plain };
            let merge = Merge::AllSucceeded;
            let fanout = Fanout { asker, request, kind, lane, with_replicas: false, merge };
            router.fan_out(fanout).await;
        }));
    }

    /// RANDOMKEY in database 0, where there are others.
    pub(in crate::session) fn random_own_key(&mut self, request: Request<'_>) -> Dispatch {
        let frame = over_tags(RANDOM, &self.env.databases);
        self.random_key(Request { frame: &frame, ..request })
    }
}

/// A script without keys that is told all tags.
fn over_tags(text: &str, databases: &Databases) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"EVAL", text.as_bytes(), b"0"];
    words.extend(databases.tagged().iter().map(|database| &*database.tag));
    let mut frame = Vec::new();
    write::request(&mut frame, &words);
    frame
}

/// How many keys each database with a tag has. An error is the reply for the client.
pub(in crate::session) async fn sizes(
    router: &Router,
    databases: &Databases,
    asker: &Asker,
) -> Result<Vec<Size>, Vec<u8>> {
    let tagged = databases.tagged();
    let gather = Rc::new(Gather::collecting(tagged.len()));
    for (part, database) in tagged.iter().enumerate() {
        let on_failure = OnFailure::ReadOnlyWholeSlot;
        let meta = RequestMeta { slot: database.slot, on_failure, ..asker.meta };
        let (writer, gather) = (Rc::clone(&asker.writer), Rc::clone(&gather));
        let handle = ReplyHandle::part(writer, asker.seq, meta, gather, part as u32);
        router.send_owned(handle, asker.protocol, whole::count(database));
    }
    std::future::poll_fn(|cx| gather.poll_missing(cx, 0)).await;
    let collected = gather.take();
    asker.writer.note_merged(collected.bytes);
    let size = |reply: &[u8]| {
        let (_, items) = open_array(reply)?;
        let Line::Integer { value: keys, len } = integer_line(items) else { return None };
        let Line::Integer { value: expire, .. } = integer_line(&items[len..]) else { return None };
        Some((u64::try_from(keys).ok()?, u64::try_from(expire).ok()?))
    };
    let parts = collected.parts();
    let sizes = parts.iter().map(|part| match part.first() {
        Some(b'-') => Err(part.to_vec()),
        _ => size(part).ok_or_else(|| texts::frame(texts::UNMERGEABLE)),
    });
    sizes.collect()
}
