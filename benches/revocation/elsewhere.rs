//! What stands for another machine: it does not wait for the processors that the program under test is using.
//!
//! Otherwise a client that is told late that its answer is here, because a thread of the program had the processor, would be
//! told as the program's own delay.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Of 99.
const PRIORITY: u8 = 10;

/// Runs this on the thread that calls, which is from now on scheduled before all others where that is allowed.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(ThreadPriorityValue::try_from(PRIORITY).expect("a priority"));
    if set_thread_priority_and_policy(thread_native_id(), priority, policy).is_err() {
        println!(
            "  (clients and upstream compete with the program for the processors: real-time priorities need CAP_SYS_NICE)"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
