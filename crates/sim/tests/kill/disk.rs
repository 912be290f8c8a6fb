//! A small file system of its own, which can be filled and forbidden to write to.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Room as long as it is not full.
const SIZE: &str = "4g";

/// A folder. If this process may mount, it is a file system in memory.
pub struct Disk {
    path: PathBuf,
    is_mounted: bool,
    can_forbid: bool,
}

impl Disk {
    /// At `path`, which is made.
    pub fn new(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("a folder for the disk");
        let size = format!("size={SIZE}");
        let is_mounted = run("mount", &["-t", "tmpfs", "-o", &size, "millstream"], path);
        let mut disk = Self {
            path: path.to_owned(),
            is_mounted,
            can_forbid: false,
        };
        disk.set_forbidden(true);
        disk.can_forbid = std::fs::write(path.join("probe"), "x").is_err();
        disk.set_forbidden(false);
        let _ = std::fs::remove_file(path.join("probe"));
        if !is_mounted {
            println!("skipped: full file system (cannot mount one here)");
        }
        if !disk.can_forbid {
            println!("skipped: forbidden writes (cannot forbid them here)");
        }
        disk
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves room for about `bytes` more. Whether that is possible.
    pub fn fill(&self, bytes: u64) -> bool {
        // Somebody may write between the two steps, and less than is used is refused.
        let mut tries = 0..100;
        self.is_mounted && tries.any(|_| self.resize(&(self.used() + bytes).to_string()))
    }

    /// Makes room again.
    pub fn free(&self) {
        assert!(self.resize(SIZE), "the disk cannot be enlarged");
    }

    /// Forbids making and removing files. Whether that is possible.
    pub fn forbid(&self) -> bool {
        if self.can_forbid {
            self.set_forbidden(true);
        }
        self.can_forbid
    }

    /// Allows it again.
    pub fn allow(&self) {
        self.set_forbidden(false);
    }

    fn resize(&self, size: &str) -> bool {
        run(
            "mount",
            &["-o", &format!("remount,size={size}")],
            &self.path,
        )
    }

    fn used(&self) -> u64 {
        let output = Command::new("df")
            .args(["--output=used", "-B1"])
            .arg(&self.path)
            .output();
        let text = String::from_utf8(output.expect("df is there").stdout);
        let text = text.expect("df writes text");
        let used = text.lines().last().expect("df writes a line");
        used.trim().parse().expect("a number of bytes")
    }

    /// Of all folders, as open files can be written on anyway: what root may not do either, where it
    /// can be mounted, or what the owner may not do.
    fn set_forbidden(&self, is_forbidden: bool) {
        let (tool, mode) = match (self.is_mounted, is_forbidden) {
            (true, true) => ("chattr", "+i"),
            (true, false) => ("chattr", "-i"),
            (false, true) => ("chmod", "a-w"),
            (false, false) => ("chmod", "u+w"),
        };
        let arguments = ["-type", "d", "-exec", tool, mode, "{}", "+"];
        // A folder may be made, or go, meanwhile.
        let _ = Command::new("find")
            .arg(&self.path)
            .args(arguments)
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.set_forbidden(false);
        if self.is_mounted {
            run("umount", &["--lazy"], &self.path);
        }
    }
}

fn run(tool: &str, arguments: &[&str], path: &Path) -> bool {
    let mut command = Command::new(tool);
    command.args(arguments).arg(path);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
