//! What a statement asks for. Only what reads is let through; everything else is refused by name.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{ObjectName, Statement as Ast};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use millstream_core::{Error, Result};

use super::error::into_error;
use super::shape;

const EXPECTED: &str = "expected SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN";

/// What a statement asks for.
#[derive(Debug)]
pub enum Question {
    /// Which tables there are.
    ShowTables,
    /// The columns of a table, named by its identifiers.
    Describe(Vec<String>),
    /// Rows, or how they would be found.
    Query(Statement),
}

/// Parses one statement; a semicolon at its end is fine.
pub fn parse(sql: &str) -> Result<Question> {
    shape::check_text(sql)?;
    let mut parser = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .build()
        .map_err(into_error)?;
    let mut statements = parser.parse_statements().map_err(into_error)?;
    if statements.len() > 1 {
        let found = statements.len();
        return Err(Error::invalid(format!(
            "found {found} statements, expected one"
        )));
    }
    let Some(statement) = statements.pop_front() else {
        return Err(Error::invalid(format!("found no statement, {EXPECTED}")));
    };
    match &statement {
        Statement::Statement(ast) => match ast.as_ref() {
            Ast::Query(_) => {
                shape::check_growth(ast)?;
                Ok(Question::Query(statement))
            }
            Ast::ShowTables { .. } => Ok(Question::ShowTables),
            Ast::ExplainTable { table_name, .. } => Ok(Question::Describe(names(table_name))),
            _ => Err(refused(&statement)),
        },
        Statement::Explain(explain) => match explain.statement.as_ref() {
            Statement::Statement(ast) if matches!(ast.as_ref(), Ast::Query(_)) => {
                shape::check_growth(ast)?;
                Ok(Question::Query(statement))
            }
            other => Err(refused(other)),
        },
        other => Err(refused(other)),
    }
}

fn names(name: &ObjectName) -> Vec<String> {
    let parts = name.0.iter();
    parts
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.clone())
        .collect()
}

fn refused(statement: &Statement) -> Error {
    let text = statement.to_string();
    let words = text
        .split_whitespace()
        .take_while(|word| word.chars().all(char::is_alphabetic));
    let upper = |word: &&str| word.chars().all(char::is_uppercase);
    let kind: Vec<&str> = words.take(2).take_while(upper).collect();
    Error::invalid(format!(
        "`{}` cannot be asked here: {EXPECTED}",
        kind.join(" ")
    ))
}
