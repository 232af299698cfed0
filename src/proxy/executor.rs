//! How hyper starts tasks of its own: on the worker's thread, like everything else.

use tokio::task::spawn_local;

/// Spawns on the current local runtime.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        // The task ends with its connection.
        drop(spawn_local(future));
    }
}
