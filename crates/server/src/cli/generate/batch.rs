//! Records of one generator as lines in one buffer, used again and again.

use millstream_connectors::generator::Summary;
use millstream_connectors::generator::clicks::ClickGenerator;

/// Some records, each on a line.
#[derive(Debug, Default)]
pub struct Batch {
    /// The lines, each with its end.
    pub lines: Vec<u8>,
    /// Where each record ends, without the line's end.
    pub ends: Vec<usize>,
    /// What they are.
    pub summary: Summary,
}

impl Batch {
    /// Replaces what is there by the next `count` records.
    pub fn fill(&mut self, generator: &mut ClickGenerator, count: u64) {
        self.lines.clear();
        self.ends.clear();
        self.summary = Summary::default();
        for _ in 0..count {
            self.summary.add(generator.next_record(&mut self.lines));
            self.ends.push(self.lines.len());
            self.lines.push(b'\n');
        }
    }
}
