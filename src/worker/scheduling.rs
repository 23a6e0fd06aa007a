//! How the system gives a worker its core.
//!
//! Owns the one setting there is: whether a worker that wakes interrupts the program which has the
//! core. Knows nothing of what a worker does.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

/// `SCHED_OTHER` of Linux (sched(7)), which threads have unless somebody chose another for them.
const USUAL: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
/// `SCHED_BATCH`.
const BATCH: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

/// From now on this thread, when it wakes, lets the program go on that has the core; it has its
/// fair share as before. A node that is busy then answers more requests before the worker is there
/// to read the replies, and the worker handles more of them in a turn. A policy that the operator
/// has chosen (`chrt`, `CPUSchedulingPolicy=`) stays.
pub(super) fn wait_for_the_core() {
    if let Err(error) = set_batch() {
        tracing::info!(error, "a worker cannot have sched_batch");
    }
}

fn set_batch() -> Result<(), String> {
    if thread_schedule_policy() != Ok(USUAL) {
        return Ok(());
    }
    let nice = rustix::process::getpriority_process(None).map_err(|error| error.to_string())?;
    let priority = priority_of(nice).ok_or_else(|| format!("a niceness of {nice}"))?;
    set_thread_priority_and_policy(thread_native_id(), priority, BATCH)
        .map_err(|error| format!("{error:?}"))
}

/// The priority that leaves niceness as it is: it can be set only together with the policy.
fn priority_of(nice: i32) -> Option<ThreadPriority> {
    (0..=u8::MAX)
        .map_while(|value| ThreadPriorityValue::try_from(value).ok())
        .map(ThreadPriority::Crossplatform)
        .find(|priority| priority.to_posix(BATCH) == Ok(nice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_niceness_can_be_kept() {
        for nice in -20..=19 {
            assert!(priority_of(nice).is_some(), "{nice}");
        }
    }
}
