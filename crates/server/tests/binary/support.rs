//! Runs the binary.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Longest wait for anything; only a test that fails waits for so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a run came to.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command in `folder`, without the configuration of whoever runs the tests.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLSTREAM_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    ran(command(folder, arguments)
        .output()
        .expect("the binary is there"))
}

fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    Ran {
        code: output.status.code().expect("no signal ended it"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Ran {
    /// It ended with this code and said `expected` on stderr.
    #[track_caller]
    pub fn check(&self, code: i32, expected: &str) {
        let Self { stdout, stderr, .. } = self;
        assert_eq!(self.code, code, "stdout: {stdout}\nstderr: {stderr}");
        assert!(
            stderr.contains(expected),
            "expected `{expected}` in: {stderr}"
        );
    }

    /// It ended well.
    #[track_caller]
    pub fn check_ok(&self) {
        self.check(0, "");
    }
}

/// A running process. Killed when a test lets go of it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Starts, with stderr read line by line.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(folder, arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary is there");
        let stderr = child.stderr.take().expect("it is piped");
        let (tell, lines) = sync_channel(1024);
        std::thread::Builder::new()
            .spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if tell.send(line).is_err() {
                        return;
                    }
                }
            })
            .expect("a thread for the test");
        Self {
            child,
            lines,
            seen: vec![],
        }
    }

    /// Waits for a line that has `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without `{text}`: {:#?}", self.seen)
                }
            }
        }
    }

    /// The URL that it says it serves.
    #[track_caller]
    pub fn url(&mut self) -> String {
        let line = self.wait_for("http://127.0.0.1:");
        let start = line.find("http://").expect("it was found");
        line[start..]
            .split_whitespace()
            .next()
            .expect("it is not empty")
            .to_owned()
    }

    /// Sends a signal: `INT`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("`kill` is there").success());
    }

    /// Waits for its end. The exit code, everything on stdout, and all lines of stderr.
    pub fn end(mut self) -> Ran {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("it is piped");
        pipe.read_to_string(&mut stdout).expect("it writes text");
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        let status = self.child.wait().expect("it ends");
        Ran {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr: self.seen.join("\n"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless a test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for one test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// Writes `text` to `name` in `folder`.
pub fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
    std::fs::write(path, text).expect("it can be written");
}

/// Asks until `condition` holds: it takes a while to answer.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let holds = (0..20_000).any(|_| condition());
    assert!(holds, "it never came to that");
}
