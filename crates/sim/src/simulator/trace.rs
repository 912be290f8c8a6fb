//! What happened, line by line: the same for the same seed, byte for byte.

use std::fmt::{self, Write as _};

/// Lines of a history. Their hash is always there, their text only if somebody wants it.
#[derive(Debug, Clone)]
pub struct Trace {
    text: String,
    is_kept: bool,
    hash: u64,
    lines: u64,
}

impl Trace {
    /// No lines so far.
    pub fn new(is_kept: bool) -> Self {
        Self {
            text: String::new(),
            is_kept,
            hash: 0xcbf2_9ce4_8422_2325,
            lines: 0,
        }
    }

    /// Adds a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        let start = self.text.len();
        // Writing to a text cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
        // FNV-1a, see <http://www.isthe.com/chongo/tech/comp/fnv/>.
        for byte in &self.text.as_bytes()[start..] {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if !self.is_kept {
            self.text.clear();
        }
    }

    /// The lines, if they were kept.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A number that another history is most unlikely to have.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}
