//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the process at once.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Outcome};

/// Exit code after a second Ctrl-C, as shells write it: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// Tells when the user wants to stop. Also what a command waits on between looks at its work.
pub struct Signals {
    stop: Receiver<()>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen(runtime: &Handle) -> Outcome<Self> {
        let _on_runtime = runtime.enter();
        let open = |kind| {
            let cannot = |error| Failure::runtime(format!("cannot listen for signals: {error}"));
            signal(kind).map_err(cannot)
        };
        let mut interrupt = open(SignalKind::interrupt())?;
        let mut terminate = open(SignalKind::terminate())?;
        let (tell, stop) = sync_channel(1);
        runtime.spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            // There is room for one: this never blocks. If nobody waits, the second one counts.
            let _ = tell.try_send(());
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(INTERRUPTED);
        });
        Ok(Self { stop })
    }

    /// Waits `patience`, or until the user wants to stop, which is `true` once.
    pub fn wait(&self, patience: Duration) -> bool {
        self.stop.recv_timeout(patience).is_ok()
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
