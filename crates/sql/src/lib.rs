//! Flink SQL text to a Millstream [`Plan`]. Pure functions: nothing is opened, read or run.
//!
//! ```text
//! text      ${VARIABLES} substituted; remembers where everything stood
//! parser    statements; queries by sqlparser in Flink's dialect
//! script    statement by statement: tables, views, settings, queries
//!   table   columns, computed columns, watermark; options: what the connector takes
//!   query   FROM, WHERE, GROUP BY, SELECT to Rel, expressions to typed Expr
//! emit      all queries of the script to one Plan: shared sources with the columns that are read,
//!           equal steps once
//! fields    of ROW columns only the fields that are read
//! sinks     result tables, late events, dead letters
//! ```
//!
//! INVARIANT: whatever is not understood to the last detail is refused with its name and place.

mod ast;
mod catalog;
pub mod diagnostic;
mod dialect;
mod emit;
mod expr;
mod fields;
mod functions;
mod lateness;
mod options;
mod parser;
mod query;
mod rel;
mod scope;
mod script;
mod settings;
mod sinks;
mod table;
mod text;
mod types;

use std::collections::BTreeMap;

use millstream_core::connector::ConnectorCatalog;
use millstream_core::function::Functions;
use millstream_core::plan::Plan;

pub use diagnostic::Diagnostic;
use diagnostic::{Fault, Origin, Place};
use script::BoundScript;
use text::Text;

/// A pipeline file and what is given beside it.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// Its name, for messages and as the pipeline's name.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Values of `${NAME}`.
    pub variables: &'a BTreeMap<String, String>,
    /// Settings that win over the script's SET statements.
    pub settings: &'a BTreeMap<String, String>,
}

/// The plan of all INSERT statements of `script`: one pipeline. A table that several of them read
/// is one source.
///
/// # Errors
/// The first thing that is wrong: syntax, a name, a type, an option, SQL that is not supported yet,
/// or no INSERT at all.
pub fn plan(script: &Script<'_>, catalog: &ConnectorCatalog) -> Result<Plan, Diagnostic> {
    plan_with(script, catalog, &Functions::default())
}

/// As [`plan`], with functions that the script may call besides the built-in ones.
///
/// # Errors
/// As [`plan`]; also a function that has the name of a built-in one.
pub fn plan_with(
    script: &Script<'_>,
    catalog: &ConnectorCatalog,
    functions: &Functions,
) -> Result<Plan, Diagnostic> {
    let text = substitute(script)?;
    let given = (catalog, functions);
    let planned = BoundScript::bind(script, &text.substituted, given).and_then(|bound| {
        if bound.queries.is_empty() {
            let fault = Fault::at(Place::new(1, 1), "no INSERT INTO: nothing to run");
            return Err(fault.help("write INSERT INTO table SELECT …"));
        }
        bound.plan()
    });
    planned.map_err(|fault| diagnostic(script, &text, fault))
}

/// The plan as text: of each EXPLAIN statement, then of all INSERT statements together.
///
/// # Errors
/// As [`plan`].
pub fn explain(script: &Script<'_>, catalog: &ConnectorCatalog) -> Result<String, Diagnostic> {
    let text = substitute(script)?;
    let given = (catalog, &Functions::default());
    let explained = BoundScript::bind(script, &text.substituted, given).and_then(|bound| {
        let mut parts = vec![];
        for (place, query) in &bound.explained {
            let line = text.original_place(*place).line;
            let plan = bound.plan_of(std::slice::from_ref(query))?;
            parts.push(format!("EXPLAIN in line {line}\n{plan}"));
        }
        if !bound.queries.is_empty() || bound.explained.is_empty() {
            let plan = bound.plan()?;
            let title = format!("pipeline {}", plan.options.name);
            parts.push(format!("{title}\n{plan}"));
        }
        Ok(parts.join("\n"))
    });
    explained.map_err(|fault| diagnostic(script, &text, fault))
}

fn substitute(script: &Script<'_>) -> Result<Text, Diagnostic> {
    Text::new(script.text, script.variables).map_err(|fault| {
        let Origin::Text(place) = fault.place else {
            unreachable!("substitution only reads the text");
        };
        Diagnostic {
            file: script.file.to_owned(),
            line: place.line,
            column: place.column,
            message: fault.message,
            help: fault.help,
        }
    })
}

fn diagnostic(script: &Script<'_>, text: &Text, fault: Fault) -> Diagnostic {
    let (file, place) = match fault.place {
        Origin::Text(place) => (script.file.to_owned(), text.original_place(place)),
        Origin::Setting(key) => (format!("--set {key}"), Place::new(0, 0)),
    };
    Diagnostic {
        file,
        line: place.line,
        column: place.column,
        message: fault.message,
        help: fault.help,
    }
}
