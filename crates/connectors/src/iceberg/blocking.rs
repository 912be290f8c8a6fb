//! The one place where futures of the `iceberg` crate and of clients are waited for. Must not be
//! called on a thread of an async runtime.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

/// Two threads: they wait for files and services; what computes runs on the caller's.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .thread_name("lake-io")
        .enable_all();
    builder
        .build()
        .expect("threads can be made at the first use of a lake")
});

/// Waits for `future`.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// What tables of the crate spawn their reading on.
pub(super) fn table_runtime() -> iceberg::Runtime {
    iceberg::Runtime::new(&RUNTIME)
}
