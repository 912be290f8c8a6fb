//! The server process, and an HTTP client that knows what an answer that never came means.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for a start, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Time since a moment.
pub struct Timer(Instant);

impl Timer {
    /// From now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "a real process runs in real time"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits a moment between two looks at something outside.
pub fn pause() {
    let (_sender, receiver) = std::sync::mpsc::sync_channel::<()>(0);
    let _ = receiver.recv_timeout(Duration::from_millis(20));
}

/// A `millstream run`, killed and started again on the same data directory and port.
pub struct Server {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
    starts: u32,
}

impl Server {
    /// Nothing is started yet. Data and logs go to `folder`.
    pub fn new(binary: PathBuf, folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self {
            binary,
            folder: folder.to_owned(),
            port: free.local_addr().expect("it is bound").port(),
            child: None,
            starts: 0,
        }
    }

    /// Starts it, without waiting for anything.
    pub fn start(&mut self) {
        self.starts += 1;
        let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/web_clicks.sql");
        let log = File::create(self.log()).expect("a log file");
        let child = Command::new(&self.binary)
            .arg("run")
            .arg(pipeline)
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            // Shorter than the default, so that kills hit commits more often.
            .args(["--set", "execution.checkpointing.interval=200ms"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the binary starts"));
    }

    /// SIGKILL: it has no chance to do anything.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        if let Some(status) = child.try_wait().expect("its state") {
            panic!("it has ended by itself: {status}\n{}", self.log_text());
        }
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
    }

    /// Waits until it says that it is ready.
    pub fn wait_until_ready(&mut self) {
        let timer = Timer::start();
        let client = self.client();
        while client.get("/readyz").is_none() {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("its state");
            if ended.is_some() || timer.elapsed() > READY_WITHIN {
                panic!(
                    "not ready after {:?}: {ended:?}\n{}",
                    timer.elapsed(),
                    self.log_text()
                );
            }
            pause();
        }
    }

    /// A client of it; works across restarts.
    pub fn client(&self) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            // A connection that was kept could be tried twice, and a batch arrive twice.
            .max_idle_connections(0)
            .build();
        Client {
            base: format!("http://127.0.0.1:{}", self.port),
            agent: config.into(),
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.starts))
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of the last start:\n{}", self.log_text());
        }
    }
}

/// Talks to the server.
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

/// What became of a POST.
pub enum Posted {
    /// The server's answer.
    Answered(Value),
    /// The server did not take it: it is not there, or refused.
    NotTaken,
    /// No answer came. It may have been taken.
    Unknown,
}

impl Client {
    /// The JSON (or text) of a GET, if it is answered with 200.
    pub fn get(&self, path: &str) -> Option<Value> {
        let mut answer = self.agent.get(format!("{}{path}", self.base)).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        (answer.status() == 200).then(|| serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Posts a body.
    pub fn post(&self, path: &str, content_type: &str, body: &str) -> Posted {
        let request = self.agent.post(format!("{}{path}", self.base));
        let answer = request.header("content-type", content_type).send(body);
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(ureq::Error::ConnectionFailed) => return Posted::NotTaken,
            Err(ureq::Error::Io(error))
                if error.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                return Posted::NotTaken;
            }
            Err(_) => return Posted::Unknown,
        };
        let status = answer.status().as_u16();
        let Ok(text) = answer.body_mut().read_to_string() else {
            return Posted::Unknown;
        };
        match status {
            200 => Posted::Answered(serde_json::from_str(&text).expect("an answer in JSON")),
            429 | 503 => Posted::NotTaken,
            _ => panic!("POST {path}: {status}: {text}"),
        }
    }

    /// The rows of a SELECT.
    pub fn sql(&self, query: &str) -> Vec<Vec<Value>> {
        let body = serde_json::json!({ "query": query }).to_string();
        match self.post("/api/v1/sql", "application/json", &body) {
            Posted::Answered(answer) => {
                assert_eq!(answer["truncated"], Value::Bool(false), "{query}");
                serde_json::from_value(answer["rows"].clone()).expect("rows are arrays")
            }
            _ => panic!("no answer to {query}"),
        }
    }
}
