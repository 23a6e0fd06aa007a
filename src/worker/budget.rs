//! What the clients of one worker hold: looked at, and taken back when it is too much in all.
//!
//! Owns who has to go when more memory is in use than may be. Must not know what the bytes are.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::WorkerCore;
use crate::clients::ClientInfo;
use crate::memory::Budget;
use crate::reply::{ClientWriter, CloseReason};

/// Between two looks at memory while more is in use than may be.
const BUDGET_PAUSE: Duration = Duration::from_millis(1);
/// So many looks of a worker that cut nobody, then what others have claimed is not believed any more.
const IN_VAIN_MAX: u32 = 20;
/// A client that holds less is not cut off for memory's sake.
const CUT_BYTES_MIN: usize = 64 * 1024;

impl WorkerCore {
    /// Looks at what each client holds and waits for.
    pub(super) fn note_buffers(&self) {
        let (mut buffered, mut unanswered, mut largest) = (0, 0, [0; 2]);
        for (client_writer, info) in self.present.borrow().values() {
            let Some(client_writer) = client_writer.upgrade() else { continue };
            buffered += client_writer.buffered();
            unanswered += client_writer.unanswered();
            info.note_memory(&client_writer);
            client_writer.look_for_reset();
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
    /// held most for longest, whichever worker serves them: each claims its heaviest client, and
    /// leaves the cutting to the others while theirs are much heavier.
    pub(super) async fn keep_to_the_budget(self: Rc<Self>) {
        let budget = Arc::clone(self.router.shared().ledger.budget());
        let mut in_vain = 0;
        loop {
            budget.exceeded().await;
            if let Some(heaviest) = self.heaviest() {
                budget.claim_heaviest(heaviest.weight);
            }
            // Others claim theirs, and sessions that were cut off end.
            tokio::time::sleep(BUDGET_PAUSE).await;
            let mut freed = 0;
            while freed < budget.excess() {
                let heaviest = self.heaviest();
                let Some(heaviest) = heaviest.filter(|one| budget.is_among_heaviest(one.weight))
                else {
                    break;
                };
                freed += heaviest.bytes;
                heaviest.cut(&budget);
            }
            in_vain = if freed > 0 { 0 } else { in_vain + 1 };
            if freed > 0 || in_vain >= IN_VAIN_MAX {
                in_vain = 0;
                budget.forget_heaviest();
            }
        }
    }

    /// Cuts off the client that has held most for longest.
    pub(super) fn cut_largest(&self) {
        if let Some(heaviest) = self.heaviest() {
            heaviest.cut(self.router.shared().ledger.budget());
        }
    }

    /// The client that has held most for longest, if one holds much.
    fn heaviest(&self) -> Option<Heaviest> {
        let now_s = self.router.shared().clock.tick() / 1_000_000;
        let present = self.present.borrow();
        let held = present.values().filter_map(|(client_writer, info)| {
            let client_writer =
                client_writer.upgrade().filter(|client_writer| !client_writer.is_closed())?;
            let bytes = client_writer.held();
            let weight = bytes as u64 * (1 + info.idle_s(now_s));
            let one = || Heaviest { client_writer, info: Arc::clone(info), bytes, weight };
            (bytes >= CUT_BYTES_MIN).then(one)
        });
        held.max_by_key(|one| one.weight)
    }
}

/// A client that may have to go.
struct Heaviest {
    client_writer: Rc<ClientWriter>,
    info: Arc<ClientInfo>,
    bytes: usize,
    /// What it holds, the more the longer it has been silent.
    weight: u64,
}

impl Heaviest {
    fn cut(&self, budget: &Budget) {
        let Heaviest { client_writer, info, bytes, .. } = self;
        tracing::warn!(
            client = info.id,
            address = %info.peer,
            bytes,
            memory_max = budget.bytes_max(),
            "too much memory is in use; the client that has held most for longest is disconnected"
        );
        client_writer.cut(CloseReason::Memory);
    }
}
