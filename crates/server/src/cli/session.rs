//! What `run` and `demo` share: a data directory, perhaps a server, one job, and the wait for its
//! end.
//!
//! ```text
//! open -> start(plan) -> watch: look at the job, show progress … Ctrl-C or the end
//!      -> stop: last epoch -> close: answers end, upkeep ends, the lock is released
//! ```

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_core::env::Env;
use millstream_core::plan::Plan;
use millstream_engine::status::JobStatus;
use millstream_engine::{JobHandle, StartOptions};
use tokio::runtime::Runtime;

use super::signals::Signals;
use super::{Failure, Outcome};
use crate::config::Config;
use crate::env::RealEnv;
use crate::http::{self, HttpServer};
use crate::instance::{self, Instance};

/// How often a running job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long answers that are being written may take at the end.
const SERVER_PATIENCE: Duration = Duration::from_millis(500);
/// How long the last epoch may take. It is a fraction of a second unless the disk is stuck; the
/// second Ctrl-C does not wait for it.
const JOB_PATIENCE: Duration = Duration::from_secs(30);

/// A process that runs one pipeline.
pub struct Session {
    /// The clock.
    pub env: Arc<dyn Env>,
    /// The data directory and what is in it.
    pub instance: Instance,
    /// Ctrl-C.
    pub signals: Signals,
    server: Option<HttpServer>,
    runtime: Runtime,
}

/// What the caller of [`Session::watch`] wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    GoOn,
    /// Stop at the next epoch.
    Stop,
}

impl Session {
    /// Opens the data directory at `path`.
    pub fn open(path: &Path, config: Config) -> Outcome<Self> {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let runtime = instance::runtime()?;
        let signals = Signals::listen(runtime.handle())?;
        let instance = Instance::open(path, config, env.clone())?;
        Ok(Self {
            env,
            instance,
            signals,
            server: None,
            runtime,
        })
    }

    /// Serves HTTP on `listener`. Its URL.
    pub fn serve(&mut self, listener: TcpListener) -> Outcome<String> {
        let server = self.instance.serve(listener, &self.runtime)?;
        let url = server.url();
        self.server = Some(server);
        Ok(url)
    }

    /// Starts the pipeline.
    pub fn start(&self, plan: Plan, start: StartOptions) -> Outcome<JobHandle> {
        Ok(self.instance.start(plan, start)?)
    }

    /// Waits until the job has ended, the user wants to stop, or `look` says so; then the job has
    /// ended, at an epoch. Its last status.
    pub fn watch(&self, job: &JobHandle, mut look: impl FnMut() -> Next) -> Outcome<JobStatus> {
        let stop_if_asked = |is_asked| if is_asked { Next::Stop } else { look() };
        self.watch_asked(job, stop_if_asked)
    }

    /// As [`Session::watch`], but `look` decides what to do when the user wants to stop, which it is
    /// told once.
    pub fn watch_asked(
        &self,
        job: &JobHandle,
        mut look: impl FnMut(bool) -> Next,
    ) -> Outcome<JobStatus> {
        while !job.is_ended() {
            if look(self.signals.wait(LOOK_EVERY)) == Next::Stop {
                self.stop(job)?;
            }
        }
        job.wait().map_err(Failure::while_running)
    }

    fn stop(&self, job: &JobHandle) -> Outcome {
        job.stop();
        let until = self.env.monotonic() + JOB_PATIENCE;
        while !job.is_ended() {
            if self.env.monotonic() > until {
                let seconds = JOB_PATIENCE.as_secs();
                let message = format!("the last epoch did not end within {seconds} s");
                let hint = "nothing is lost: started again, it goes on from the epoch before";
                return Err(Failure::runtime(message).hint(hint));
            }
            self.signals.wait(LOOK_EVERY / 5);
        }
        Ok(())
    }

    /// Ends everything.
    pub fn close(self) {
        if let Some(server) = self.server {
            server.close(SERVER_PATIENCE);
        }
        self.instance.close();
        self.runtime.shutdown_timeout(SERVER_PATIENCE);
    }
}

/// Takes the port, before anything else is touched.
pub fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    Ok(http::bind(address)?)
}
