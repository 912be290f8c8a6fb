//! The server process, and an HTTP client that knows what an answer that never came means.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for a start, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Longest time from SIGTERM to the end.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Where a server keeps things.
pub struct Folders {
    /// The data directory.
    pub data: PathBuf,
    /// What it says.
    pub logs: PathBuf,
}

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
    pipeline: PathBuf,
    arguments: Vec<String>,
    data: PathBuf,
    logs: PathBuf,
    port: u16,
    child: Option<Child>,
    starts: u32,
}

impl Server {
    /// Of a pipeline file, with more arguments. Nothing is started yet.
    pub fn new(binary: &Path, pipeline: PathBuf, arguments: Vec<String>, folders: Folders) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self {
            binary: binary.to_owned(),
            pipeline,
            arguments,
            data: folders.data,
            logs: folders.logs,
            port: free.local_addr().expect("it is bound").port(),
            child: None,
            starts: 0,
        }
    }

    /// Starts it, without waiting for anything.
    pub fn start(&mut self) {
        // The logs before the last are of no use any more.
        let _ = std::fs::remove_file(self.log());
        self.starts += 1;
        let log = File::create(self.log()).expect("a log file");
        let out = File::create(self.logs.join("out")).expect("a file for the summary");
        let listen = format!("127.0.0.1:{}", self.port);
        let child = self.command(&listen).stdout(out).stderr(log).spawn();
        self.child = Some(child.expect("the binary starts"));
    }

    fn command(&self, listen: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("run")
            .arg(&self.pipeline)
            .args(&self.arguments)
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--listen", listen, "--summary", "json"])
            // Shorter than the default, so that kills hit commits more often.
            .args(["--set", "execution.checkpointing.interval=200ms"])
            .stdin(Stdio::null());
        command
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it was started")
    }

    /// SIGKILL: it has no chance to do anything.
    pub fn kill(&mut self) {
        if let Some(status) = self.child().try_wait().expect("its state") {
            panic!("it has ended by itself: {status}\n{}", self.log_text());
        }
        self.end();
    }

    /// SIGKILL, if it has not ended by itself.
    pub fn end(&mut self) {
        let mut child = self.child.take().expect("it was started");
        let _ended = child.kill();
        child.wait().expect("it is gone");
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`.
    pub fn signal(&mut self, name: &str) {
        let pid = self.child().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("kill is there").success(), "SIG{name} to {pid}");
    }

    /// SIGTERM: it ends in time, with code 0. Its summary, if it was ready; before, the signal may
    /// have come before anybody listened for it.
    pub fn terminate(&mut self) -> Option<Value> {
        let was_ready = self.client().get("/readyz").is_some();
        self.signal("TERM");
        let timer = Timer::start();
        let status = loop {
            if let Some(status) = self.child().try_wait().expect("its state") {
                break status;
            }
            let log = self.log_text();
            assert!(
                timer.elapsed() < END_WITHIN,
                "SIGTERM did not end it\n{log}"
            );
            pause();
        };
        self.child = None;
        if !was_ready && status.code().is_none() {
            return None;
        }
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.log_text());
        let text = std::fs::read_to_string(self.logs.join("out")).expect("what it printed");
        Some(serde_json::from_str(&text).unwrap_or_else(|_| panic!("a summary, found `{text}`")))
    }

    /// Another process on the same data directory is refused, and told by whom.
    pub fn check_second_is_refused(&mut self) {
        let pid = self.child().id();
        let second = self.command("127.0.0.1:0").output().expect("it starts");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        let expected = format!("is in use by process {pid}");
        assert!(
            second.status.code() == Some(2) && said.contains(&expected),
            "a second process: {}, expected code 2 and `{expected}`: {said}",
            second.status
        );
    }

    /// The rows of a SELECT, asked of the data directory of a process that has ended.
    pub fn sql_offline(&self, query: &str) -> Vec<Value> {
        let output = Command::new(&self.binary)
            .args(["sql", query, "--format", "json", "--data-dir"])
            .arg(&self.data)
            .env("MILLSTREAM_QUERY_ROWS_MAX", "100000000")
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{query}: {said}");
        serde_json::from_slice(&output.stdout).expect("an array of rows")
    }

    /// Waits until it says that it is ready.
    pub fn wait_until_ready(&mut self) {
        if let Some(log) = self.wait_until_ready_or_ended() {
            panic!("it has ended by itself\n{log}");
        }
    }

    /// The same; if it has ended, its log.
    pub fn wait_until_ready_or_ended(&mut self) -> Option<String> {
        let timer = Timer::start();
        let client = self.client();
        while client.get("/readyz").is_none() {
            if self.child().try_wait().expect("its state").is_some() {
                return Some(self.log_text());
            }
            let (waited, log) = (timer.elapsed(), self.log_text());
            assert!(waited < READY_WITHIN, "not ready after {waited:?}\n{log}");
            pause();
        }
        None
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
        self.logs.join(format!("{}.log", self.starts))
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
