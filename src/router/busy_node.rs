//! Nodes that a script keeps busy.
//!
//! Owns the asking. A node that a script keeps from everything else says so, `-BUSY`, on every connection
//! but the one that brought the script, which all clients of a worker share. One that does gets another
//! connection for what comes next; a client that has something under way waits for that first, as when the
//! map changes. Must not know what happens to requests under way.

use std::rc::Rc;

use tokio::time::timeout;

use super::Router;
use crate::backend::lease::URGENT_TIMEOUT;
use crate::backend::pipeline::Pipeline;
use crate::backend::{Asked, BackendError, Lane, NodeAddress};
use crate::resp::Protocol;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Longest answer to the question.
const ANSWER_MAX: usize = 4096;

impl Router {
    /// Looks after pipelines that wait for a script; called now and then.
    pub fn look_after_scripts(self: &Rc<Self>) {
        for pipeline in self.pipelines.that_may_be_busy() {
            let router = Rc::clone(self);
            tokio::task::spawn_local(async move {
                // It answers when the script has ended, or has run for long enough.
                let asking = router.says_busy(pipeline.node());
                let says_busy = timeout(URGENT_TIMEOUT, asking).await.unwrap_or(false);
                pipeline.note_asked();
                if says_busy {
                    router.replace(&pipeline);
                }
            });
        }
    }

    async fn says_busy(&self, node: &NodeAddress) -> bool {
        let lease = self.pipelines.lease(node, Protocol::Resp2, Lane::Urgent).await;
        let Ok(mut lease) = lease else { return false };
        let asked =
            Asked { requests: PING, count: 1, bytes_max: ANSWER_MAX, ends_with_error_at: None };
        let frame = lease.ask(&asked).await.unwrap_or_default().concat();
        frame.first() == Some(&b'-') && BackendError::of_frame(&frame).answer().is_some()
    }

    fn replace(&self, pipeline: &Rc<Pipeline>) {
        if !self.pipelines.replace(pipeline) {
            return;
        }
        // Whoever has something under way waits for it before it uses the new one.
        self.begin_generation();
        let node = &pipeline.node().name;
        tracing::warn!(%node, "a node is busy with a script, and answers everybody else BUSY");
        for masters in &self.masters {
            for master in masters.borrow_mut().iter_mut() {
                master.take_if(|known| Rc::ptr_eq(known, pipeline));
            }
        }
    }
}
