//! The tasks of one target, which end together.

use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::peer::lock;

/// A handle on a group of tasks; `None` once the group has ended.
#[derive(Debug, Clone)]
pub(crate) struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl Tasks {
    /// Starts an empty group.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }

    /// Runs `task` in the group, or drops it if the group has ended.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(set) = lock(&self.0).as_mut() {
            // Finished tasks would pile up in the set otherwise.
            while set.try_join_next().is_some() {}
            set.spawn(task);
        }
    }

    /// Ends every task of the group and takes no new ones.
    pub(crate) fn end(&self) {
        // Taken out first: a task's own destructor may reach for the lock.
        let set = lock(&self.0).take();
        drop(set);
    }
}

impl<T> hyper::rt::Executor<T> for Tasks
where
    T: Future + Send + 'static,
    T::Output: Send,
{
    fn execute(&self, task: T) {
        self.spawn(async move {
            task.await;
        });
    }
}
