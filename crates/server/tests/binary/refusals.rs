//! What `check` refuses because of an option: everything that `run` would refuse for it, with its
//! place in the file. `refusals.sql` has scripts, each after a line `-- case: name` and with the
//! header of the file before it; `refusals.error` what is said of them. `UPDATE_SNAPSHOTS=1` writes
//! the latter anew.

use std::fs;
use std::path::Path;

use super::support::{folder, run, write};

#[test]
fn options_that_cannot_work_are_refused_with_their_place() {
    let scripts = include_str!("refusals.sql");
    let (header, cases) = scripts.split_once("-- case: ").expect("at least one case");
    let folder = folder();
    let mut found = String::new();
    for case in cases.split("-- case: ") {
        let (name, script) = case.split_once('\n').expect("a line after the name");
        write(folder.path(), "x.sql", &format!("{header}{script}"));
        let ran = run(folder.path(), &["check", "x.sql"]);
        ran.check(2, "x.sql:");
        found.push_str(&format!(
            "{name}\n  {}\n",
            ran.stderr.trim_end().replace('\n', "\n  ")
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/binary/refusals.error");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &found).expect("a snapshot can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "UPDATE_SNAPSHOTS=1 writes it anew");
}
