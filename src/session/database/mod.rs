//! Databases other than 0: a whole Redis each, in one slot of the cluster.
//!
//! Owns what becomes of a client's request there, and what database 0 hides of the others. A request is
//! translated ([`translation`]) and then goes the way of any other. Must not know nodes.

mod function;
pub(in crate::session) mod hidden;
mod reply;
pub mod script;
mod sort;
pub(in crate::session) mod tagged;
mod translation;
mod whole;

use std::rc::Rc;

use super::Session;
use super::dispatch::{Dispatch, Request};
use crate::backend::Band;
use crate::command::{
    Command, CommandId, Handling, Local, ReplyKeys, Script, Transaction, positions,
};
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::Merge;
use crate::reply::{Gather, ReplyHandle, texts};
use crate::resp::request::{RequestLimits, Scan};
use crate::resp::{Args, RequestScanner};
pub(in crate::session) use reply::Rename;
use tagged::{Tagged, Translation};

impl Session {
    /// What a request is at the nodes. `None`: the client is in database 0.
    pub(in crate::session) fn translated(
        &mut self,
        command: &Command,
        args: Args<'_>,
    ) -> Option<Translation> {
        let database = self.state.database.clone()?;
        let node = self.router().id_of_master(database.slot);
        let mut scripts = self.env.scripts.borrow_mut();
        let cache = self.env.router.scripts();
        let (place, request) = ((&database, &node), (command, args));
        Some(translation::translate(place, request, (&mut scripts, cache), &mut self.keys))
    }

    /// Deals with a request of a client that is in a database with a tag. `None`: it is the same in all
    /// databases.
    #[cold]
    pub(in crate::session) fn dispatch_in_database(
        &mut self,
        request: Request<'_>,
    ) -> Option<Dispatch> {
        let Request { id, command, args, .. } = request;
        match command.handling {
            Handling::Script(Script::Call) => return self.call_function(request),
            Handling::Script(Script::KillFunction) => return Some(self.kill_function(request)),
            // Whoever asks wants to know whether the database can be used, and that only its node knows.
            Handling::Local(Local::Ping) => return self.send_as_it_is(request),
            _ => {}
        }
        let Tagged { frame, on_failure, rename } = match self.translated(command, args)? {
            Translation::AsItIs => return None,
            Translation::Refuse(text) => {
                self.refuse(id, &text);
                return Some(Dispatch::Done);
            }
            Translation::Tagged(tagged) => tagged,
        };
        let mut scanner = RequestScanner::default();
        let Ok(Scan::Request(_)) = scanner.scan(&frame, &RequestLimits::NONE, true) else {
            self.refuse(id, texts::SCRIPT_REPLY);
            return Some(Dispatch::Done);
        };
        let tagged = Request { args: scanner.args(&frame), frame: &frame, ..request };
        match command.handling {
            Handling::Block(timeout_at) => {
                // What a node is asked is needed whole for each try, and so is what becomes of its reply.
                let keys = command.reply_keys;
                if let Some(dispatch) = self.block(tagged, timeout_at, keys) {
                    return Some(dispatch);
                }
            }
            Handling::KeyScan => {
                if let Some(dispatch) = self.key_scan(tagged) {
                    return Some(dispatch);
                }
            }
            Handling::Transaction(Transaction::Watch) => return Some(self.watch(tagged)),
            _ => {}
        }
        let slot = self.state.database.as_ref()?.slot;
        let mut meta = self.meta(id, command, slot);
        meta.on_failure = on_failure.unwrap_or(meta.on_failure);
        Some(self.send_tagged(meta, frame, rename))
    }

    /// What becomes of a reply that names keys there, in the client's database.
    pub(in crate::session) fn rename_of(&self, keys: ReplyKeys) -> Option<Rename> {
        reply::rename(self.state.database.as_ref()?, keys, true)
    }

    /// Sends a request without keys, which changes nothing, to the database's master.
    fn send_as_it_is(&mut self, request: Request<'_>) -> Option<Dispatch> {
        let slot = self.state.database.as_ref()?.slot;
        let meta = self.meta(request.id, request.command, slot);
        let meta = RequestMeta { on_failure: OnFailure::Resend, ..meta };
        Some(self.send_tagged(meta, request.frame.to_vec(), None))
    }

    /// Sends a translated request to its slot's master.
    fn send_tagged(
        &mut self,
        meta: RequestMeta,
        frame: Vec<u8>,
        rename: Option<Rename>,
    ) -> Dispatch {
        let router = Rc::clone(&self.env.router);
        let band = Band::of(meta.on_failure);
        if band == Band::Scripts && self.must_wait_for_band() {
            return Dispatch::NotYet;
        }
        let weight = router.shared().large.of(meta.slot);
        if let Some(pipeline) = router.master_of(meta.slot, self.state.protocol, band)
            && (pipeline.is_crowded() || weight > 0)
            && let Some(dispatch) = self.waits_in_line(&pipeline, weight)
        {
            return dispatch;
        }
        let seq = self.take_seq();
        let writer = Rc::clone(&self.writer);
        let handle = match rename {
            None => ReplyHandle::new(writer, seq, meta),
            Some(rename) => {
                let make = Box::new(move |parts: &[&[u8]]| {
                    rename(parts.first().copied().unwrap_or_default())
                });
                let gather = Rc::new(Gather::new(1, Merge::WithErrors(make)));
                ReplyHandle::part(writer, seq, meta, gather, 0)
            }
        };
        let full = router.send_owned(handle, self.state.protocol, frame);
        self.full = full.or(self.full.take());
        Dispatch::Done
    }

    /// Why a client in database 0 cannot name these keys: they would be those of another database.
    #[cold]
    #[inline(never)]
    pub(in crate::session) fn objects_to_keys(
        &mut self,
        command: &Command,
        args: Args<'_>,
    ) -> Option<String> {
        let databases = &self.env.databases;
        positions(command, args, &mut self.keys).ok()?;
        let mut keys = self.keys.iter().map(|&key| args.get(key as usize));
        let owner = keys.find_map(|key| databases.owner(key))?;
        let tag = String::from_utf8_lossy(&owner.tag);
        Some(texts::key_of_another_database(&tag, owner.number))
    }

    /// The same, as the answer to a request.
    #[cold]
    #[inline(never)]
    pub(in crate::session) fn refuses_keys(
        &mut self,
        id: CommandId,
        command: &Command,
        args: Args<'_>,
    ) -> Option<Dispatch> {
        if self.env.databases.is_one() || self.state.database.is_some() {
            return None;
        }
        let text = self.objects_to_keys(command, args)?;
        self.refuse(id, &text);
        Some(Dispatch::Done)
    }
}
