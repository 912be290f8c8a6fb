//! How large a statement may be. Planning recurses into each operator, and what a name stands for
//! is put in its place again and again, so a short text can need any amount of stack and memory.
//!
//! ```text
//! text -> tokens: depth (before anything recurses)  -> parsed -> growth (before anything is planned)
//! ```
//!
//! - The *depth* is that of the tree that the parser will make, never less: each pair of brackets
//!   counts one, and so does each operator or keyword between two commas.
//! - The *relations* are the tables, subqueries and branches of UNION that are planned, a name from
//!   a WITH counted as what it stands for.
//! - The *growth* of a query is how often its columns can name columns of the tables at its bottom
//!   when every level's expressions are put into the next one's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use millstream_core::{Error, Result};

/// Longest text of a statement, as long as the longest request.
const BYTES_MAX: usize = 1 << 20;
/// Deepest tree.
const DEPTH_MAX: usize = 500;
/// Most relations.
const RELATIONS_MAX: u64 = 500;
/// Most subqueries within each other that are part of expressions. DataFusion's time to plan them
/// doubles with each.
const SUBQUERIES_MAX: usize = 8;
/// Aggregates that keep all that they are given.
const COLLECTING: [&str; 3] = ["array_agg", "string_agg", "listagg"];
/// Most growth.
const GROWTH_MAX: u64 = 10_000;

/// Refuses text whose tree would be too deep.
///
/// # Errors
/// `InvalidInput` with what was found and what was expected. Text that has no tokens is left to
/// the parser, which says where it is wrong.
pub fn check_text(sql: &str) -> Result<()> {
    if sql.len() > BYTES_MAX {
        let found = sql.len();
        return Err(Error::invalid(format!(
            "the statement has {found} bytes, expected at most {BYTES_MAX}"
        )));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let depth = depth(&tokens);
    if depth > DEPTH_MAX {
        return Err(Error::invalid(format!(
            "the statement is nested too deeply: found {depth} operators and brackets within each \
             other, expected at most {DEPTH_MAX}; `a OR b OR …` is nested, too, and can be IN (…)"
        )));
    }
    Ok(())
}

/// One level of brackets. AND and OR stand above all other operators, so what is between them
/// counts once, not together.
#[derive(Default)]
struct Level {
    /// AND and OR since the last comma.
    logical: usize,
    /// The deepest of what lies between those.
    operand: usize,
    /// Operators since the last of them.
    operators: usize,
    /// The deepest brackets since the last of them.
    inner: usize,
    /// The deepest of what lies between commas.
    deepest: usize,
}

impl Level {
    fn next_operand(&mut self) {
        self.operand = self.operand.max(self.operators + self.inner);
        (self.operators, self.inner) = (0, 0);
        self.logical += 1;
    }

    fn separate(&mut self) {
        *self = Self {
            deepest: self.depth(),
            ..Self::default()
        };
    }

    fn depth(&self) -> usize {
        let operand = self.operand.max(self.operators + self.inner);
        self.deepest.max(self.logical + operand)
    }
}

enum Part {
    Open,
    Close,
    Separator,
    Logical,
    Operator,
    Leaf,
}

fn depth(tokens: &[Token]) -> usize {
    let mut levels = vec![Level::default()];
    let close = |levels: &mut Vec<Level>| {
        let depth = levels.pop().map_or(0, |level| level.depth() + 1);
        if let Some(outer) = levels.last_mut() {
            outer.inner = outer.inner.max(depth);
        } else {
            // More is closed than was opened: the parser will say so.
            levels.push(Level {
                inner: depth,
                ..Level::default()
            });
        }
    };
    for token in tokens {
        let level = levels.last_mut().expect("one is always open");
        match part(token) {
            Part::Open => levels.push(Level::default()),
            Part::Close => {
                close(&mut levels);
                // `a[1][2]`: the second wraps the first.
                let is_index = matches!(token, Token::RBracket);
                levels.last_mut().expect("one is always open").operators += usize::from(is_index);
            }
            Part::Separator => level.separate(),
            Part::Logical => level.next_operand(),
            Part::Operator => level.operators += 1,
            Part::Leaf => {}
        }
    }
    while levels.len() > 1 {
        close(&mut levels);
    }
    levels.first().map_or(0, Level::depth)
}

fn part(token: &Token) -> Part {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => Part::Open,
        Token::RParen | Token::RBracket | Token::RBrace => Part::Close,
        Token::Comma | Token::SemiColon => Part::Separator,
        Token::Whitespace(_) | Token::Number(..) | Token::EOF => Part::Leaf,
        Token::Word(word) => match word.keyword {
            // `CASE WHEN a THEN b ELSE c END`: flat, however many branches there are.
            Keyword::CASE => Part::Open,
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE => Part::Separator,
            Keyword::END => Part::Close,
            Keyword::AND | Keyword::OR => Part::Logical,
            Keyword::NoKeyword => Part::Leaf,
            // What these begin does not wrap what stands before them.
            Keyword::SELECT | Keyword::ALL | Keyword::DISTINCT | Keyword::AS => Part::Leaf,
            Keyword::FROM | Keyword::WHERE | Keyword::ON | Keyword::NULL => Part::Leaf,
            _ => Part::Operator,
        },
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => Part::Leaf,
        _ => Part::Operator,
    }
}

/// Refuses a statement that would grow too much when it is planned.
///
/// # Errors
/// `InvalidInput` with what was found and what was expected.
pub fn check_growth(statement: &Statement) -> Result<()> {
    let mut growth = Growth {
        levels: vec![Weight::NOTHING],
        names: BTreeMap::new(),
        definitions: BTreeMap::new(),
        subqueries: 0,
    };
    match statement.visit(&mut growth) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(Error::invalid(message)),
    }
}

/// What a query, or what stands in its FROM, weighs.
#[derive(Debug, Clone, Copy)]
struct Weight {
    relations: u64,
    growth: u64,
}

impl Weight {
    const NOTHING: Self = Self {
        relations: 0,
        growth: 1,
    };
}

/// Goes through a statement: what is inside before what is outside, WITH before its use.
struct Growth {
    /// The queries that the visitor is in, and what was found in each so far.
    levels: Vec<Weight>,
    /// What stands behind a name of a WITH; the heaviest, where several have one name.
    names: BTreeMap<String, Weight>,
    /// Names of the queries of a WITH, by where they begin in memory.
    definitions: BTreeMap<*const Query, String>,
    /// Expressions with a subquery that the visitor is in.
    subqueries: usize,
}

impl Growth {
    fn add(&mut self, weight: Weight) -> ControlFlow<String> {
        let level = self.levels.last_mut().expect("one is always open");
        level.relations = level.relations.saturating_add(weight.relations);
        level.growth = level.growth.max(weight.growth);
        let found = level.relations;
        if found > RELATIONS_MAX {
            return ControlFlow::Break(format!(
                "the statement is too large: found {found} or more tables and subqueries, those \
                 of WITH counted each time they are named, expected at most {RELATIONS_MAX}"
            ));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Growth {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        for definition in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = definition.alias.name.value.clone();
            self.definitions.insert(&raw const *definition.query, name);
        }
        self.levels.push(Weight::NOTHING);
        self.add(Weight {
            relations: branches(&query.body),
            growth: 1,
        })
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let mut weight = self.levels.pop().expect("pushed before");
        weight.growth = weight.growth.saturating_mul(names_per_column(&query.body));
        if weight.growth > GROWTH_MAX {
            return ControlFlow::Break(format!(
                "the statement is nested too deeply: its columns name columns of subqueries that \
                 name columns of subqueries, together {} or more times, expected at most \
                 {GROWTH_MAX}",
                weight.growth
            ));
        }
        if let Some(name) = self.definitions.get(&(&raw const *query)) {
            let known = self.names.entry(name.clone()).or_insert(weight);
            known.relations = known.relations.max(weight.relations);
            known.growth = known.growth.max(weight.growth);
        }
        self.add(weight)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { name, .. } => {
                let weight = self.names.get(&last(name)).copied();
                self.add(weight.unwrap_or(Weight {
                    relations: 1,
                    growth: 1,
                }))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        self.subqueries += usize::from(has_subquery(expr));
        if self.subqueries > SUBQUERIES_MAX {
            return ControlFlow::Break(format!(
                "the statement is nested too deeply: expected at most {SUBQUERIES_MAX} subqueries \
                 within each other"
            ));
        }
        if let Expr::Function(call) = expr
            && call.over.is_some()
            && COLLECTING.contains(&last(&call.name).to_lowercase().as_str())
        {
            let name = last(&call.name);
            return ControlFlow::Break(format!(
                "`{name}` cannot be used with OVER: each row would have all the others in it"
            ));
        }
        // A list of fixed length takes its memory for NULL, too.
        if let Expr::Cast { data_type, .. } = expr {
            let name = data_type.to_string();
            let is_fixed = name
                .split('[')
                .skip(1)
                .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if is_fixed {
                return ControlFlow::Break(format!("found the type {name}, expected ARRAY<…>"));
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        self.subqueries -= usize::from(has_subquery(expr));
        ControlFlow::Continue(())
    }
}

fn has_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. }
    )
}

fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(|part| part.as_ident());
    part.map_or_else(String::new, |ident| ident.value.clone())
}

/// Branches of UNION, INTERSECT and EXCEPT.
fn branches(body: &SetExpr) -> u64 {
    match body {
        SetExpr::SetOperation { left, right, .. } => branches(left) + branches(right),
        _ => 1,
    }
}

/// The most names of columns in one column of the SELECTs of `body`.
fn names_per_column(body: &SetExpr) -> u64 {
    match body {
        SetExpr::Select(select) => names_in(select),
        SetExpr::SetOperation { left, right, .. } => {
            names_per_column(left).max(names_per_column(right))
        }
        // A query in brackets has counted for itself.
        _ => 1,
    }
}

fn names_in(select: &Select) -> u64 {
    let count = |item| {
        let mut names = Names(0);
        let _ = Visit::visit(item, &mut names);
        names.0
    };
    select
        .projection
        .iter()
        .map(count)
        .max()
        .unwrap_or(1)
        .max(1)
}

/// Counts names of columns.
struct Names(u64);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            self.0 += 1;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_depth(sql: &str, expected: usize) {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
        assert_eq!(depth(&tokens.expect("these are tokens")), expected, "{sql}");
    }

    #[test]
    fn depth_is_what_is_within_each_other() {
        check_depth("SELECT 1", 0);
        check_depth("SELECT 1+2+3+4", 3);
        check_depth("SELECT 1+2, 3+4", 1);
        check_depth("SELECT a=1 OR a=2 OR a=3", 2 + 1);
        check_depth("SELECT ((1))", 2);
        check_depth("SELECT (1+(2+3))", 1 + 1 + (1 + 1));
        check_depth(
            "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT a IS NULL",
            2 + 1,
        );
        check_depth("x[1][2][3]", 3 + 1);
        check_depth("CASE WHEN a THEN b WHEN c THEN d+e ELSE f END", 1 + 1);
        check_depth("'a+b+c' -- + + +", 0);
    }

    #[test]
    fn brackets_that_do_not_match_are_left_to_the_parser() {
        check_depth(")))", 3);
        check_depth("(((", 3);
    }
}
