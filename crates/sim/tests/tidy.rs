//! The house rules, over the whole workspace. What they are: `millstream_sim::tidy`.

use std::path::{Path, PathBuf};

use millstream_sim::tidy::{any_file, docs, edges, rust_file};

/// Folders with files that people write. Others (build output, data) are not looked at.
const FOLDERS: &[&str] = &[
    "crates",
    "docs",
    "pipelines",
    "tests",
    "web",
    "bench",
    "deploy",
    ".ci",
];

const TEXT: &[&str] = &[
    "rs", "toml", "md", "sql", "slt", "sh", "js", "mjs", "css", "html", "json", "yml", "yaml",
    "plan", "error", "",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file, as path relative to the workspace and content.
fn files() -> Vec<(String, String)> {
    let mut files = vec![];
    for entry in std::fs::read_dir(root()).expect("the workspace is there") {
        let path = entry.expect("a readable entry").path();
        if path.is_file() {
            push_file(&path, &mut files);
        }
    }
    for folder in FOLDERS {
        walk(&root().join(folder), &mut files);
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<(String, String)>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            walk(&path, files);
        } else if path.is_file() {
            push_file(&path, files);
        }
    }
}

fn push_file(path: &Path, files: &mut Vec<(String, String)>) {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    if !TEXT.contains(&extension.as_ref()) {
        return;
    }
    if let Ok(text) = std::fs::read_to_string(path) {
        let relative = path.strip_prefix(root()).expect("it is below the root");
        files.push((relative.to_string_lossy().into_owned(), text));
    }
}

fn report(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn files_keep_to_the_house_rules() {
    let mut found = vec![];
    let files = files();
    assert!(
        files.len() > 50,
        "the walk found only {} files",
        files.len()
    );
    for (path, text) in &files {
        found.extend(any_file(path, text));
        if path.ends_with(".rs") {
            found.extend(rust_file(path, text));
            found.extend(edges::imports(path, text));
        }
        if path.ends_with(".md") {
            found.extend(docs::commands(path, text));
        }
    }
    report(&found);
}

#[test]
fn crates_know_only_whom_they_may() {
    let mut found = vec![];
    for (path, text) in files() {
        let name = path
            .strip_prefix("crates/")
            .and_then(|rest| rest.strip_suffix("/Cargo.toml"));
        let Some(name) = name else { continue };
        let manifest: toml::Table = text.parse().expect("cargo has read it already");
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
        let tables = sections
            .iter()
            .filter_map(|section| manifest.get(*section)?.as_table());
        let names = tables.flat_map(|table| table.keys().map(String::as_str));
        found.extend(edges::dependencies(name, names));
        let lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            found.push(format!("{path}:1: add `[lints] workspace = true`"));
        }
    }
    report(&found);
}
