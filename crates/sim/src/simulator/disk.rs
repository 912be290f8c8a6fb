//! Files as a disk keeps them: what processes see, and what is left after a power failure.
//!
//! What is promised: `put`, `put_if_absent`, `rename` and `delete` are atomic and durable; of a file
//! that is appended to, everything up to the last sync is. Of the rest a power failure keeps a piece
//! from the start, and may leave zeros behind it, as file systems do that grow a file before its pages
//! are written. A file that was cut and not synced is as it was before, or as it is now.
//!
//! An open file is that file, whatever becomes of its name: who appends to one that was deleted or
//! replaced writes to nowhere.
//!
//! A disk that lies breaks the promise of `sync`. What was lost that way is told ([`Disk::lose_power`]),
//! so that a run can demand that it is noticed.

use std::collections::BTreeMap;

use millstream_core::memory::MemoryStorage;
use millstream_core::storage::Storage;

use crate::chance::Chance;

/// All files. See the module.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    opened: u64,
}

/// An open file: its path, and which of the files that ever had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where it was when it was opened.
    pub path: String,
    number: u64,
}

#[derive(Debug, Clone, Default)]
struct File {
    number: u64,
    bytes: Vec<u8>,
    /// What a power failure leaves for certain; `None`: not even the name.
    durable: Option<Vec<u8>>,
    /// What processes were told is durable, if that is more.
    lied: Option<Vec<u8>>,
    /// The process that has appended last.
    writer: usize,
}

impl Disk {
    /// The content of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|file| &*file.bytes)
    }

    /// The same files in a storage without faults.
    pub fn copy(&self) -> MemoryStorage {
        let storage = MemoryStorage::default();
        for (path, file) in &self.files {
            storage
                .put(path, &file.bytes)
                .expect("memory does not fail");
        }
        storage
    }

    /// Paths that begin with `prefix`, in order.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let from = self.files.range(prefix.to_owned()..);
        let paths = from.map(|(path, _)| path);
        paths
            .take_while(|path| path.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Writes a whole file, durably.
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        self.opened += 1;
        let file = File {
            number: self.opened,
            bytes: bytes.to_vec(),
            durable: Some(bytes.to_vec()),
            ..File::default()
        };
        self.files.insert(path.to_owned(), file);
    }

    /// Renames a file, durably. Whether it was there.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let file = self.files.remove(from);
        let is_there = file.is_some();
        if let Some(file) = file {
            self.files.insert(to.to_owned(), file);
        }
        is_there
    }

    /// Deletes a file, durably.
    pub fn delete(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Opens a file to append to it. Makes one if there is none.
    pub fn open(&mut self, path: &str) -> Opened {
        self.opened += 1;
        let number = self.opened;
        let file = self.files.entry(path.to_owned()).or_insert(File {
            number,
            ..File::default()
        });
        Opened {
            path: path.to_owned(),
            number: file.number,
        }
    }

    fn opened(&mut self, file: &Opened) -> Option<&mut File> {
        let found = self.files.get_mut(&file.path);
        found.filter(|found| found.number == file.number)
    }

    /// Its length, as long as it is where it was.
    pub fn length(&mut self, file: &Opened) -> usize {
        self.opened(file).map_or(0, |file| file.bytes.len())
    }

    /// Appends. Nothing of it is durable.
    pub fn append(&mut self, file: &Opened, bytes: &[u8], writer: usize) {
        if let Some(file) = self.opened(file) {
            file.bytes.extend_from_slice(bytes);
            file.writer = writer;
        }
    }

    /// Cuts. Not durable either.
    pub fn truncate(&mut self, file: &Opened, length: usize, writer: usize) {
        if let Some(file) = self.opened(file) {
            file.bytes.truncate(length);
            file.writer = writer;
        }
    }

    /// Makes what was appended durable; or only says so, if `is_lie`.
    pub fn sync(&mut self, file: &Opened, is_lie: bool) {
        let Some(file) = self.opened(file) else {
            return;
        };
        if is_lie {
            file.lied = Some(file.bytes.clone());
        } else {
            file.durable = Some(file.bytes.clone());
            file.lied = None;
        }
    }

    /// The machines of those `writers` end. The files of which something is lost that was promised.
    pub fn lose_power(
        &mut self,
        writers: impl Fn(usize) -> bool,
        chance: &mut Chance,
    ) -> Vec<String> {
        let mut broken = vec![];
        let mut gone = vec![];
        for (path, file) in &mut self.files {
            let is_durable = file.durable.as_ref() == Some(&file.bytes);
            if is_durable || !writers(file.writer) {
                continue;
            }
            match left_over(file, chance) {
                Some(bytes) => {
                    let lied = file.lied.take();
                    if lied.is_some_and(|lied| !bytes.starts_with(&lied)) {
                        broken.push(path.clone());
                    }
                    file.durable = Some(bytes.clone());
                    file.bytes = bytes;
                }
                None => gone.push(path.clone()),
            }
        }
        for path in gone {
            let file = self.files.remove(&path);
            if file.is_some_and(|file| file.lied.is_some()) {
                broken.push(path);
            }
        }
        broken
    }

    /// Changes a bit of a file that is not empty. Which file, and where.
    pub fn flip_bit(&mut self, chance: &mut Chance) -> Option<(String, usize)> {
        let mut files: Vec<_> = self.files.iter_mut().collect();
        files.retain(|(_, file)| !file.bytes.is_empty() && file.durable.is_some());
        // Iceberg's files have no checksums of their own: what a flipped bit does there nobody can say.
        files.retain(|(path, _)| !path.starts_with("lake/warehouse/"));
        if files.is_empty() {
            return None;
        }
        let at = chance.below(files.len());
        let (path, file) = &mut files[at];
        let (byte, bit) = (chance.below(file.bytes.len()), chance.below(8));
        file.bytes[byte] ^= 1 << bit;
        if let Some(bytes) = file.durable.as_mut().and_then(|d| d.get_mut(byte)) {
            *bytes ^= 1 << bit;
        }
        Some(((*path).clone(), byte))
    }
}

/// What is left of a file that is not durable as it is. `None`: not even the name.
fn left_over(file: &File, chance: &mut Chance) -> Option<Vec<u8>> {
    let Some(durable) = &file.durable else {
        if chance.one_in(3) {
            return None;
        }
        return Some(torn(&[], &file.bytes, chance));
    };
    if !file.bytes.starts_with(durable) {
        let is_old = chance.one_in(2);
        return Some(if is_old { durable } else { &file.bytes }.clone());
    }
    Some(torn(durable, &file.bytes, chance))
}

fn torn(durable: &[u8], bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let keep = durable.len() + chance.below(bytes.len() - durable.len() + 1);
    let mut left = bytes[..keep].to_vec();
    if chance.one_in(4) {
        let zeros = chance.below(bytes.len() - keep + 1);
        left.resize(keep + zeros, 0);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(seed: u64, change: impl Fn(&mut Disk)) -> (Option<Vec<u8>>, Vec<String>) {
        let mut disk = Disk::default();
        change(&mut disk);
        let broken = disk.lose_power(|_| true, &mut Chance::new(seed));
        (disk.get("f").map(<[u8]>::to_vec), broken)
    }

    #[test]
    fn what_was_synced_is_kept_and_the_rest_is_a_piece_of_it() {
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let (bytes, broken) = left(seed, |disk| {
                let file = disk.open("f");
                disk.append(&file, b"ab", 0);
                disk.sync(&file, false);
                disk.append(&file, b"cd", 0);
            });
            assert!(broken.is_empty());
            found.insert(bytes.expect("it was synced"));
        }
        let all: [&[u8]; 6] = [b"ab", b"ab\0", b"ab\0\0", b"abc", b"abc\0", b"abcd"];
        assert_eq!(found.iter().map(Vec::as_slice).collect::<Vec<_>>(), all);
    }

    #[test]
    fn what_a_lie_has_lost_is_told() {
        let lie = |disk: &mut Disk| {
            let file = disk.open("f");
            disk.append(&file, b"ab", 0);
            disk.sync(&file, true);
        };
        let outcomes: Vec<_> = (0..100).map(|seed| left(seed, lie)).collect();
        let is_kept = |bytes: &Option<Vec<u8>>| bytes.as_deref() == Some(b"ab");
        for (bytes, broken) in &outcomes {
            assert_eq!(broken.is_empty(), is_kept(bytes), "{bytes:?}");
        }
        assert!(outcomes.iter().any(|(bytes, _)| is_kept(bytes)));
        assert!(outcomes.iter().any(|(bytes, _)| bytes.is_none()));
    }

    #[test]
    fn an_open_file_that_was_replaced_is_nowhere() {
        let mut disk = Disk::default();
        let file = disk.open("f");
        disk.put("f", b"new");
        disk.append(&file, b"old", 0);
        assert_eq!(disk.get("f"), Some(&b"new"[..]));
    }

    #[test]
    fn another_machine_keeps_what_it_has_written() {
        let mut disk = Disk::default();
        let file = disk.open("f");
        disk.append(&file, b"ab", 7);
        disk.lose_power(|writer| writer == 8, &mut Chance::new(0));
        assert_eq!(disk.get("f"), Some(&b"ab"[..]));
    }
}
