//! Who may know whom: crates by their Cargo.toml, the engine's modules by what they import.
//!
//! `sql`, `engine` and `connectors` meet only in `core`; HTTP is only in `server`; of what is shipped
//! only the command `millstream sim` knows `sim`. In the engine, imports run left to right through [`ENGINE_LAYERS`].

use super::numbered;

/// For each crate, the crates of the workspace that it may use.
const CRATE_EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("sql", &["core"]),
    ("engine", &["core"]),
    ("connectors", &["core"]),
    ("millstream", &["core", "sql", "engine", "connectors"]),
    (
        "server",
        &["core", "sql", "engine", "connectors", "millstream", "sim"],
    ),
    ("sim", &["core", "sql", "engine", "connectors"]),
];

/// Crates from outside that only one crate of the workspace may use, and why.
const OWNED: &[(&str, &str, &str)] = &[
    ("axum", "server", "HTTP is only in `server`"),
    ("utoipa", "server", "HTTP is only in `server`"),
    ("clap", "server", "the command line is only in `server`"),
    ("sqlparser", "sql", "SQL text is only read in `sql`"),
];

/// The engine's modules in the order in which they may import: each only those before it.
pub const ENGINE_LAYERS: &[&str] = &[
    "protocol",
    "state",
    "window",
    "operator",
    "checkpoint",
    "runtime",
];

/// The one shipped file that knows the simulator.
const SIM_COMMAND: &str = "crates/server/src/cli/sim.rs";

/// Modules of the standard library that reach the outside world.
const OUTSIDE: &[&str] = &["std::fs", "std::net", "std::process", "std::thread::spawn"];

/// Checks the dependencies of `crates/<name>/Cargo.toml`, given by name, dev-dependencies included.
pub fn dependencies<'a>(name: &str, dependencies: impl Iterator<Item = &'a str>) -> Vec<String> {
    let path = format!("crates/{name}/Cargo.toml");
    let Some((_, allowed)) = CRATE_EDGES.iter().find(|(of, _)| *of == name) else {
        return vec![format!(
            "{path}:1: a new crate: say in `edges.rs` which ones it may use"
        )];
    };
    let mut found = vec![];
    for dependency in dependencies {
        let other = match dependency {
            "millstream" => Some(dependency),
            _ => dependency.strip_prefix("millstream-"),
        };
        if let Some(other) = other
            && !allowed.contains(&other)
        {
            found.push(format!("{path}:1: `{name}` must not know `{other}`"));
        }
        for (owned, owner, reason) in OWNED {
            if dependency == *owned && name != *owner {
                found.push(format!("{path}:1: `{owned}` in `{name}`: {reason}"));
            }
        }
    }
    found
}

/// Checks what a Rust file imports: layers of the engine, and no outside world in `core`, `sql`
/// and `engine`.
pub fn imports(path: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    let is_pure = ["core", "sql", "engine"]
        .iter()
        .any(|name| path.starts_with(&format!("crates/{name}/src/")));
    let layer = path.strip_prefix("crates/engine/src/").and_then(layer_of);
    let is_server = path.starts_with("crates/server/") && path != SIM_COMMAND;
    for (number, line) in numbered(text) {
        // Text after `//` may name anything: it is for people.
        let code = line.split("//").next().unwrap_or_default();
        for outside in OUTSIDE
            .iter()
            .filter(|name| is_pure && code.contains(*name))
        {
            found.push(format!(
                "{path}:{number}: `{outside}`: the outside world comes through `Env` and `Storage`"
            ));
        }
        if is_server && code.contains("millstream_sim") {
            found.push(format!(
                "{path}:{number}: of what is shipped only `{SIM_COMMAND}` knows the simulator"
            ));
        }
        let Some(layer) = layer else { continue };
        for name in code.split("crate::").skip(1) {
            let name = name
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            let other = name.and_then(layer_named);
            if let Some(other) = other.filter(|other| *other > layer) {
                found.push(format!(
                    "{path}:{number}: `{}` must not know `{}`: imports run left to right in {}",
                    ENGINE_LAYERS[layer],
                    ENGINE_LAYERS[other],
                    ENGINE_LAYERS.join(", ")
                ));
            }
        }
    }
    found
}

/// The layer of a file, from its path below the engine's `src`.
fn layer_of(path: &str) -> Option<usize> {
    layer_named(path.split(['/', '.']).next().unwrap_or_default())
}

fn layer_named(name: &str) -> Option<usize> {
    ENGINE_LAYERS.iter().position(|layer| *layer == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(name: &str, dependency: &str) -> usize {
        dependencies(name, std::iter::once(dependency)).len()
    }

    #[test]
    fn crates_meet_only_in_core() {
        for name in ["sql", "engine", "connectors"] {
            assert_eq!(edge(name, "millstream-core"), 0);
            for other in ["sql", "engine", "connectors", "server", "sim"] {
                assert_eq!(
                    edge(name, &format!("millstream-{other}")),
                    1,
                    "{name} {other}"
                );
            }
        }
        assert_eq!(edge("core", "millstream-sql"), 1);
        assert_eq!(edge("engine", "millstream"), 1);
        assert_eq!(edge("server", "millstream"), 0);
        assert_eq!(edge("server", "millstream-sim"), 0);
        assert_eq!(edge("millstream", "millstream-sim"), 1);
        assert_eq!(edge("sim", "millstream-server"), 1);
        assert_eq!(edge("sim", "millstream-engine"), 0);
        assert_eq!(
            edge("unheard", "millstream-core"),
            1,
            "a new crate has to be listed"
        );
    }

    #[test]
    fn http_is_only_in_the_server() {
        assert_eq!(edge("server", "axum"), 0);
        assert_eq!(edge("connectors", "axum"), 1);
        assert_eq!(edge("engine", "sqlparser"), 1);
    }

    #[test]
    fn the_engines_imports_run_left_to_right() {
        let check = |file: &str, text: &str, count: usize| {
            let found = imports(&format!("crates/engine/src/{file}"), text);
            assert_eq!(found.len(), count, "{file}: {text}: {found:?}");
        };
        check("window/tumble.rs", "use crate::state::Table;", 0);
        check("window/tumble.rs", "use crate::window::Pane;", 0);
        check("window/tumble.rs", "use crate::operator::Operator;", 1);
        check("window.rs", "    crate::runtime::run();", 1);
        check("state.rs", "use crate::{protocol, window};", 0);
        check("window/tumble.rs", "// see [`crate::operator`]", 0);
        check("status.rs", "use crate::runtime::Job;", 0);
        check(
            "runtime/job.rs",
            "use crate::protocol::Barrier; use crate::operator::A;",
            0,
        );
        check("operator_names.rs", "use crate::runtime::Job;", 0);
    }

    #[test]
    fn one_command_knows_the_simulator() {
        let found = |path: &str| imports(path, "use millstream_sim::simulator;\n").len();
        assert_eq!(found("crates/server/src/cli/sim.rs"), 0);
        assert_eq!(found("crates/server/src/cli/run.rs"), 1);
        assert_eq!(found("crates/sim/tests/simulator.rs"), 0);
    }

    #[test]
    fn the_outside_world_stays_outside() {
        let found = |path: &str| imports(path, "//! std::fs\nuse std::fs::File;\n").len();
        assert_eq!(found("crates/engine/src/a.rs"), 1);
        assert_eq!(found("crates/core/src/a.rs"), 1);
        assert_eq!(found("crates/connectors/src/storage.rs"), 0);
        assert_eq!(
            found("crates/sql/tests/plans.rs"),
            0,
            "tests read their files"
        );
    }
}
