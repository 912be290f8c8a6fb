//! The listening server: bound before anything else starts, closed within a bounded time.

use std::io::ErrorKind as Io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use millstream_core::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::router;
use super::state::{AppState, StateParts};
use crate::config::CollectorConfig;

/// Takes the port.
///
/// # Errors
/// `InvalidInput` that names the address, when it is in use or not this machine's.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        Io::AddrInUse => Error::invalid(format!(
            "address {address} is in use; choose another with --listen"
        )),
        Io::PermissionDenied => Error::invalid(format!(
            "address {address} is not allowed; choose a port of 1024 or more with --listen"
        )),
        _ => Error::invalid(format!("address {address}: {error}")),
    })?;
    let nonblocking = listener.set_nonblocking(true);
    nonblocking.map_err(|error| Error::unavailable(format!("address {address}: {error}")))?;
    Ok(listener)
}

/// A server that answers requests.
pub struct HttpServer {
    address: SocketAddr,
    closing: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    runtime: Handle,
}

impl HttpServer {
    /// Serves on `listener`, which [`bind`] has made, on the threads of `runtime`.
    pub fn start(
        listener: TcpListener,
        runtime: &Handle,
        parts: StateParts,
        collector: CollectorConfig,
    ) -> Result<Self> {
        let io = |error| Error::unavailable(format!("listen: {error}"));
        let address = listener.local_addr().map_err(io)?;
        let (closing, is_closing) = watch::channel(false);
        let state = Arc::new(AppState::new(parts, collector, is_closing.clone()));
        let _on_runtime = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(io)?;
        let mut until = is_closing;
        let closed = async move {
            // An error means that the sender is gone, which is the end, too.
            let _ = until.wait_for(|closing| *closing).await;
        };
        let serve = axum::serve(listener, router(state)).with_graceful_shutdown(closed);
        Ok(Self {
            address,
            closing,
            serving: runtime.spawn(async move { serve.await }),
            runtime: runtime.clone(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more requests, ends live views, and waits up to `patience` for answers that are
    /// being written.
    pub fn close(self, patience: Duration) {
        // Nobody is listening any more if this fails.
        let _ = self.closing.send(true);
        let ended = async { tokio::time::timeout(patience, self.serving).await };
        if self.runtime.block_on(ended).is_err() {
            tracing::warn!("requests were cut off: they took longer than the server waits");
        }
    }
}
