//! The threads that plan and run queries. They are apart from those of HTTP, so that queries that
//! compute hold up each other at most, never the collector or a health check; and they have room
//! for deep recursion, which planning does for each operator of an expression.

use std::future::Future;
use std::sync::Arc;

use datafusion::common::runtime::SpawnedTask;
use millstream_core::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// Bytes of the stack of each thread. Only what is used of it takes memory. Statements as
/// deep as [`super::shape`] lets through need less than 48 MiB in a debug build.
const STACK_BYTES: usize = 128 << 20;
/// Most queries that are planned or run at the same time; the others wait.
const QUERIES_AT_ONCE_MAX: usize = 8;

/// The threads that plan and run queries.
pub struct QueryThreads {
    /// Always there until this is dropped.
    runtime: Option<Runtime>,
    turns: Arc<Semaphore>,
}

impl QueryThreads {
    /// Starts them: `count`, at least two.
    ///
    /// # Errors
    /// `Unavailable` if the system has no more threads or address space.
    pub fn start(count: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(2))
            .max_blocking_threads(2)
            .thread_stack_size(STACK_BYTES)
            .thread_name("query")
            .enable_time()
            .build();
        let runtime = runtime
            .map_err(|error| Error::unavailable(format!("cannot start threads: {error}")))?;
        Ok(Self {
            runtime: Some(runtime),
            turns: Arc::new(Semaphore::new(QUERIES_AT_ONCE_MAX)),
        })
    }

    /// Runs `work` there when it is its turn. It is aborted, where it next waits, when the task is
    /// dropped; its turn is over when it has really ended.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> SpawnedTask<T> {
        let turns = self.turns.clone();
        let runtime = self.runtime.as_ref().expect("it is there until the drop");
        let _on_runtime = runtime.enter();
        SpawnedTask::spawn(async move {
            let _turn = turns.acquire_owned().await.expect("it is never closed");
            work.await
        })
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        // Not waited for: a query may be in the middle of a long step, and this may be a thread
        // of another runtime, which must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
