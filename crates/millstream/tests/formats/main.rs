//! The files of `tests/fixtures`: every version of every format must be read for ever, and what is
//! written today must be what the newest fixture is. The contract is in `docs/formats.md`.
//!
//! `WRITE_FIXTURES=1 cargo test -p millstream --test formats` writes the fixtures of today's versions. Once
//! released, a fixture never changes: a new version gets a folder of its own.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod made;
mod read;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files by path.
type Files = BTreeMap<String, Vec<u8>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The files of one version of a format, by their path below its folder.
fn fixture(version: &str) -> Files {
    let root = root().join(version);
    let mut files = Files::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{version}: {error}")) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Writes today's fixtures. Those of older versions were written by the code of their time.
fn write_fixtures() {
    for (version, files) in made::all() {
        for (name, bytes) in files {
            let path = root().join(version).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// Files that are ours byte for byte are written as ever. Parquet and Arrow files are written by
/// libraries, whose next version may compress otherwise: what is in them is compared in [`read`].
#[test]
fn what_is_written_today_is_what_the_newest_fixtures_are() {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        write_fixtures();
    }
    let is_ours = |name: &str| !name.ends_with(".parquet") && !name.ends_with(".arrow");
    for (version, files) in made::all() {
        let expected = fixture(version);
        for (name, bytes) in files {
            let expected = expected.get(&name);
            let expected = expected.unwrap_or_else(|| panic!("no fixture {version}/{name}"));
            let (found, expected) = (without_parts(&bytes), without_parts(expected));
            assert!(
                !is_ours(&name) || found == expected,
                "{version}/{name} is written otherwise: that is a new version of the format, see \
                 docs/formats.md\nfound:    {}\nexpected: {}",
                found.escape_ascii(),
                expected.escape_ascii()
            );
        }
    }
}

/// A version of a table without length and checksum of its parts, and without its own.
fn without_parts(bytes: &[u8]) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut file)) = serde_json::from_slice(bytes) else {
        return bytes.to_vec();
    };
    let Some(parts) = file.get_mut("body").and_then(|body| body.get_mut("parts")) else {
        return bytes.to_vec();
    };
    for part in parts.as_array_mut().unwrap() {
        part["bytes"] = 0.into();
        part["crc32"] = 0.into();
    }
    file["crc32"] = 0.into();
    serde_json::to_vec(&file).unwrap()
}
