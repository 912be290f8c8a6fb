//! The house rules that neither the compiler nor clippy knows, as pure functions over text.
//!
//! Each rule takes a file's path (relative to the workspace, `/`-separated) and its text, and gives
//! findings as `path:line: what is wrong`. `crates/sim/tests/tidy.rs` walks the workspace.
//!
//! Not here: lengths of functions and numbers of parameters (clippy), formatting (rustfmt).

pub mod docs;
pub mod edges;

/// Most lines of a Rust file, comments and tests included.
pub const FILE_LINES_MAX: usize = 800;

/// File and folder names that say nothing.
const EMPTY_NAMES: &[&str] = &["common", "utils", "util", "helpers", "helper", "misc"];

/// Text that must not be in any Rust file, with the reason. Written in two parts, so that this
/// file does not find itself.
const BANNED_CODE: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it or leave it out"),
    (concat!("unimplemented", "!("), "finish it or leave it out"),
    (
        concat!("#[", "ignore"),
        "a test that does not run proves nothing",
    ),
    (concat!("db", "g!("), "left over from debugging"),
];

/// Text that must not be in any file: places that only the author's machine has.
const BANNED_PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/brief"),
    concat!("/tm", "p/ms-"),
];

/// What every file must keep to, whatever its language.
pub fn any_file(path: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    for (number, line) in numbered(text) {
        for place in BANNED_PLACES {
            if line.contains(place) {
                found.push(format!(
                    "{path}:{number}: `{place}` is a place on one machine only"
                ));
            }
        }
    }
    let names = path
        .split('/')
        .map(|name| name.split('.').next().unwrap_or_default());
    for name in names.filter(|name| EMPTY_NAMES.contains(name)) {
        found.push(format!(
            "{path}:1: `{name}` says nothing: name a file after what is in it"
        ));
    }
    found
}

/// What every Rust file must keep to.
pub fn rust_file(path: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!(
            "{path}:{lines}: {lines} lines, at most {FILE_LINES_MAX}: split it by what it does"
        ));
    }
    if path.ends_with("/mod.rs") {
        found.push(format!(
            "{path}:1: write `folder.rs` next to `folder/`, not `mod.rs`"
        ));
    }
    // Unit tests in files of their own are the rest of the module above, which says what it is.
    let is_rest =
        path.contains("/src/") && (path.ends_with("/tests.rs") || path.contains("/tests/"));
    if !text.starts_with("//! ") && !is_rest {
        found.push(format!(
            "{path}:1: begin with `//!`: what the module is, its flow, its invariants"
        ));
    }
    for (number, line) in numbered(text) {
        for (banned, reason) in BANNED_CODE {
            if line.contains(banned) {
                found.push(format!("{path}:{number}: `{banned}`: {reason}"));
            }
        }
    }
    found
}

/// Lines with their numbers from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &[String], expected: &[&str]) {
        let found: Vec<&str> = found.iter().map(|finding| &finding[..]).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.starts_with(expected),
                "`{found}` instead of `{expected}`"
            );
        }
    }

    #[test]
    fn a_rust_file_begins_with_what_it_is() {
        check(&rust_file("a.rs", "//! A thing.\n"), &[]);
        check(&rust_file("a.rs", "use b;\n//! late\n"), &["a.rs:1: begin"]);
        check(&rust_file("a.rs", ""), &["a.rs:1: begin"]);
        check(&rust_file("a/src/b/tests.rs", "use super::*;\n"), &[]);
        check(&rust_file("a/src/b/tests/c.rs", "use super::*;\n"), &[]);
        check(
            &rust_file("a/tests/c.rs", "use a;\n"),
            &["a/tests/c.rs:1: begin"],
        );
    }

    #[test]
    fn a_rust_file_is_not_too_long() {
        let text = format!("//! A thing.\n{}", "//\n".repeat(FILE_LINES_MAX - 1));
        check(&rust_file("a.rs", &text), &[]);
        check(
            &rust_file("a.rs", &(text + "//\n")),
            &["a.rs:801: 801 lines"],
        );
    }

    #[test]
    fn nothing_is_left_unfinished() {
        for (banned, _) in BANNED_CODE {
            let text = format!("//! A thing.\n{banned}\n");
            check(&rust_file("a.rs", &text), &["a.rs:2: "]);
        }
    }

    #[test]
    fn names_say_something() {
        check(
            &rust_file("a/mod.rs", "//! A thing.\n"),
            &["a/mod.rs:1: write"],
        );
        check(&any_file("src/utils.rs", ""), &["src/utils.rs:1: `utils`"]);
        check(&any_file("common/a.rs", ""), &["common/a.rs:1: `common`"]);
        check(&any_file("src/uncommon.rs", ""), &[]);
    }

    #[test]
    fn no_place_of_one_machine_is_named() {
        for place in BANNED_PLACES {
            let text = format!("fine\n  path = {place}x\n");
            check(&any_file("a.md", &text), &["a.md:2: "]);
        }
        check(
            &any_file("a.md", "network/ framework/ and /tmp/x are fine"),
            &[],
        );
    }
}
