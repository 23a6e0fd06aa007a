//! What the clients of one worker hold: looked at, and taken back when it is too much in all.
//!
//! Owns who has to go when more memory is in use than may be. Must not know what the bytes are.

use std::rc::Rc;
use std::time::Duration;

use super::Workbench;
use crate::reply::Cut;
use crate::session::clients::ClientInfo;

/// Between two looks at memory while more is in use than may be.
const BUDGET_PAUSE: Duration = Duration::from_millis(1);
/// A client that holds less is not cut off for memory's sake.
const CUT_BYTES_MIN: usize = 64 * 1024;

impl Workbench {
    /// Looks at what each client holds and waits for.
    pub(super) fn note_buffers(&self) {
        let (mut buffered, mut unanswered, mut largest) = (0, 0, [0; 2]);
        for (outlet, info) in self.present.borrow().values() {
            let Some(outlet) = outlet.upgrade() else { continue };
            buffered += outlet.buffered();
            unanswered += outlet.unanswered();
            info.note_memory(&outlet);
            outlet.look_for_reset();
            for (largest, bytes) in largest.iter_mut().zip(info.memory()) {
                *largest = bytes.max(*largest);
            }
        }
        self.stats.client_buffered_bytes.set(buffered as u64);
        self.stats.inflight.set(unanswered as u64);
        for (figure, bytes) in self.stats.largest_buffers.iter().zip(largest) {
            figure.set(bytes as u64);
        }
    }

    /// Cuts clients off while more memory is in use than may be; never ends. Those go first that have
    /// held most for longest.
    pub(super) async fn keep_to_the_budget(self: Rc<Self>) {
        let ledger = Rc::clone(&self.router.shared().ledger);
        loop {
            ledger.exceeded().await;
            let mut freed = 0;
            while freed < ledger.budget().excess() {
                let Some(bytes) = self.cut_largest() else { break };
                freed += bytes;
            }
            // Their sessions end in this turn, others may still grow.
            tokio::time::sleep(BUDGET_PAUSE).await;
        }
    }

    /// Cuts off the client that has held most for longest; returns how much it held.
    pub(super) fn cut_largest(&self) -> Option<usize> {
        let now_s = self.router.shared().clock.tick() / 1_000_000;
        let present = self.present.borrow();
        let held = present.values().filter_map(|(outlet, info)| {
            let outlet = outlet.upgrade().filter(|outlet| !outlet.is_closed())?;
            let bytes = outlet.held();
            (bytes >= CUT_BYTES_MIN).then_some((outlet, info, bytes))
        });
        let weight = |info: &ClientInfo, bytes: usize| bytes as u64 * (1 + info.idle_s(now_s));
        let (outlet, info, bytes) = held.max_by_key(|(_, info, bytes)| weight(info, *bytes))?;
        tracing::warn!(
            client = info.id,
            address = %info.peer,
            bytes,
            memory_max = self.router.shared().ledger.budget().bytes_max(),
            "too much memory is in use; the client that has held most for longest is disconnected"
        );
        outlet.cut(Cut::Memory);
        Some(bytes)
    }
}
