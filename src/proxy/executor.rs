//! How hyper starts tasks of its own: on the worker's thread, like everything else.
//!
//! Such a task carries one HTTP/2 stream. While the client takes nothing of an answer, hyper waits inside it and asks nobody
//! else, so the task itself is what has to end: hyper then resets the stream, and the connection's other streams go on.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::task::spawn_local;

use super::sweep::Watch;

tokio::task_local! {
    /// The deadlines of the exchange on this task's stream, once there is one.
    static WATCH: OnceCell<Rc<Watch>>;
}

/// Spawns on the current local runtime.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        // The task ends with its connection.
        drop(spawn_local(WATCH.scope(OnceCell::new(), until_fired(future))));
    }
}

/// Ends the task that this is called in when `watch` fires and what the task carries does nothing about it.
pub(super) fn end_with(watch: &Rc<Watch>) {
    // A stream has one exchange, and a task that was not started here none.
    let _ = WATCH.try_with(|place| place.set(Rc::clone(watch)));
}

async fn until_fired<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        WATCH.with(|place| match place.get() {
            Some(watch) => watch.poll_fired(cx).map(drop),
            None => Poll::Pending,
        })
    })
    .await
}
