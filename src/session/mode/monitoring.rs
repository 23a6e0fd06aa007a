//! MONITOR: the client's part.
//!
//! Owns what a client that monitors may send, and which requests are shown to those who do. See
//! <https://redis.io/docs/latest/commands/monitor/>.

use std::rc::Rc;

use tokio::task::JoinHandle;

use crate::clients::monitors::{Monitoring, Shown};
use crate::command::{Command, CommandId, CommandTable, Flags};
use crate::metrics::Outcome;
use crate::reply::{ClientWriter, CloseReason, texts};
use crate::resp::{Args, write};
use crate::router::Router;
use crate::router::monitor::ForeignLines;
use crate::session::Session;
use crate::session::dispatch::Dispatch;

/// A client that sees what others ask, for as long as this is there.
#[derive(Debug)]
pub(super) struct Monitor {
    own: JoinHandle<()>,
    _foreign: ForeignLines,
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.own.abort();
    }
}

impl Monitor {
    fn begin(monitoring: Monitoring, writer: &Rc<ClientWriter>, router: &Rc<Router>) -> Monitor {
        let (of_own, of_others) = (Rc::clone(writer), Rc::clone(writer));
        let shared = Rc::clone(router);
        let take = move |line: &[u8]| of_others.push(line, 0, shared.shared().clock.now_us());
        let foreign = ForeignLines::begin(router, Rc::new(take));
        let own = pass_on(monitoring, of_own, Rc::clone(router));
        Monitor { own: tokio::task::spawn_local(own), _foreign: foreign }
    }
}

async fn pass_on(mut monitoring: Monitoring, writer: Rc<ClientWriter>, router: Rc<Router>) {
    while let Some(line) = monitoring.next().await {
        writer.push(line.as_bytes(), 0, router.shared().clock.now_us());
    }
    writer.cut(CloseReason::OutputLimit);
}

impl Session {
    /// MONITOR.
    pub(in crate::session) fn monitor(&mut self, id: CommandId) -> Dispatch {
        // Its first line comes behind the answer.
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        self.router().stats().command(id, Outcome::Ok);
        self.deliver_own(write::OK);
        if self.mode.monitoring.is_none() {
            let monitoring = self.env.monitors.enter(self.limits.monitor_bytes_max);
            let monitor = Monitor::begin(monitoring, &self.writer, &self.env.router);
            self.mode.monitoring = Some(monitor);
            self.state.info.note_monitors(true);
        }
        Dispatch::Done
    }

    /// What becomes of a request that a client must not send while it monitors. `None`: it may.
    pub(in crate::session) fn objects_as_monitor(
        &mut self,
        id: CommandId,
        command: &Command,
    ) -> Option<Dispatch> {
        let is_about_keys = command.flags.is_write()
            || command.flags.is_readonly()
            || command.flags.contains(Flags::MAY_REPLICATE);
        if !is_about_keys {
            return None;
        }
        self.refuse(id, texts::NOT_AS_MONITOR);
        Some(Dispatch::Done)
    }

    /// It monitors no more (RESET).
    pub(in crate::session) fn stop_monitoring(&mut self) {
        self.mode.monitoring = None;
        self.state.info.note_monitors(false);
    }

    /// Deals with a request, and shows it to those who monitor if it has been taken.
    #[cold]
    #[inline(never)]
    pub(in crate::session) fn dispatch_and_show(
        &mut self,
        table: &CommandTable,
        args: Args<'_>,
        frame: &[u8],
        own: bool,
    ) -> Dispatch {
        self.was_refused = false;
        let dispatch = self.dispatch(table, args, frame, own);
        if !matches!(dispatch, Dispatch::NotYet) && !self.was_refused {
            self.show(table, args);
        }
        dispatch
    }

    fn show(&mut self, table: &CommandTable, args: Args<'_>) {
        let Ok((_, command)) = table.lookup(args) else { return };
        if !command.is_shown() {
            return;
        }
        let who = (self.state.info.database(), self.state.info.peer);
        let shown = Shown::new(who, command, args);
        if !self.mode.keep_shown(&shown) {
            self.env.monitors.show(&shown);
        }
    }
}
