//! How the system gives a worker its core.
//!
//! Owns the one setting there is: whether a worker that wakes interrupts the program which has the
//! core. Knows nothing of what a worker does.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// `SCHED_BATCH` of Linux (sched(7)).
const BATCH: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

/// From now on this thread, when it wakes, lets the program go on that has the core; it has its
/// fair share as before. A node that is busy then answers more requests before the worker is there
/// to read the replies, and the worker handles more of them in a turn.
pub(super) fn wait_for_the_core() {
    if let Err(error) = set_batch() {
        tracing::debug!(%error, "a worker keeps its scheduling");
    }
}

fn set_batch() -> Result<(), String> {
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

    #[test]
    fn the_policy_changes_and_niceness_does_not() {
        let on_a_thread = std::thread::spawn(|| {
            let niceness = || rustix::process::getpriority_process(None).expect("a niceness");
            let before = niceness();
            set_batch().expect("a thread may give way");
            let policy = thread_priority::thread_schedule_policy().expect("a policy");
            assert_eq!((policy, niceness()), (BATCH, before));
        });
        on_a_thread.join().expect("no assertion failed");
    }
}
