//! Flink's dialect for sqlparser: what its grammar lacks, added through [`Dialect::parse_prefix`].
//!
//! - `TABLE t` as an argument of a window function becomes `Expr::Prefixed { TABLE, t }`, `TABLE t
//!   PARTITION BY a, b` the same with `(t, a, b)`.
//! - `CAST(x AS type)` reads Flink's types: the type is kept in the dialect, the tree holds a
//!   [`DataType::Custom`] whose name is its number ([`FlinkDialect::cast_type`]).
//! - GROUPING SETS, ROLLUP and CUBE, with single columns beside lists.
//! - A long row of AND, OR or `||` becomes a balanced tree, which means the same: what is as deep as
//!   the row is long would be too deep for a stack.
//!
//! A [`Fault`] found here passes through sqlparser as a message that names its number
//! ([`FlinkDialect::take_fault`]).

pub(crate) mod json;

use std::cell::RefCell;

use arrow::datatypes::DataType as ArrowType;
use millstream_core::function::Functions;
use sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, Ident, ObjectName, ObjectNamePart};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::diagnostic::Fault;
use crate::expr::user_function::UserFunction;
use crate::parser::data_type::parse_type;
use crate::parser::word;

/// The prefix of `TABLE t` in the tree.
pub(crate) const TABLE: &str = "TABLE";
/// The prefix of `TABLE t PARTITION BY …` in the tree.
pub(crate) const PARTITIONED_TABLE: &str = "TABLE PARTITION BY";

/// Flink SQL, and what a script adds to it: its functions.
#[derive(Debug, Default)]
pub(crate) struct FlinkDialect {
    types: RefCell<Vec<ArrowType>>,
    faults: RefCell<Vec<Fault>>,
    functions: RefCell<Vec<UserFunction>>,
    /// Functions of the embedding program.
    pub native: Functions,
}

const FAULT: &str = "fault #";

impl FlinkDialect {
    /// With functions of the embedding program.
    pub fn new(native: Functions) -> Self {
        Self {
            native,
            ..Self::default()
        }
    }

    /// The type of a CAST.
    pub fn cast_type(&self, data_type: &DataType) -> Option<ArrowType> {
        let DataType::Custom(name, _) = data_type else {
            return None;
        };
        self.kept_type(&name.to_string())
    }

    /// The type with this number.
    pub fn kept_type(&self, number: &str) -> Option<ArrowType> {
        let index: usize = number.parse().ok()?;
        self.types.borrow().get(index).cloned()
    }

    /// Keeps a type; gives its number.
    fn keep_type(&self, data_type: ArrowType) -> String {
        let mut types = self.types.borrow_mut();
        types.push(data_type);
        (types.len() - 1).to_string()
    }

    /// The function that the script calls `name` (in upper case).
    pub fn user_function(&self, name: &str) -> Option<UserFunction> {
        let functions = self.functions.borrow();
        functions
            .iter()
            .find(|known| known.is_called(name))
            .cloned()
    }

    /// Names of the script's functions.
    pub fn user_functions(&self) -> Vec<String> {
        let functions = self.functions.borrow();
        let made = functions.iter().map(|known| known.name());
        made.chain(self.native.names()).map(str::to_owned).collect()
    }

    /// Adds a function for the rest of the script.
    pub fn add_user_function(&self, function: UserFunction) {
        self.functions.borrow_mut().push(function);
    }

    /// Hides `fault` in an error of the parser.
    pub fn hide(&self, fault: Fault) -> ParserError {
        let mut faults = self.faults.borrow_mut();
        faults.push(fault);
        ParserError::ParserError(format!("{FAULT}{}", faults.len() - 1))
    }

    /// The fault hidden in an error's message.
    pub fn take_fault(&self, message: &str) -> Option<Fault> {
        let index: usize = message.strip_prefix(FAULT)?.parse().ok()?;
        self.faults.borrow().get(index).cloned()
    }

    /// Parses `[NOT] BETWEEN SYMMETRIC a AND b` and `… ASYMMETRIC …` after `expr`, if that is next.
    fn parse_between(&self, parser: &mut Parser, expr: &Expr) -> Option<Result<Expr, ParserError>> {
        let tokens = parser.peek_tokens_with_location::<3>();
        let words = tokens.each_ref().map(word);
        let negated = words[0] == "NOT";
        let words = if negated { &words[1..] } else { &words[..2] };
        let is_symmetric = match [words[0].as_str(), words[1].as_str()] {
            ["BETWEEN", "SYMMETRIC"] => true,
            ["BETWEEN", "ASYMMETRIC"] => false,
            _ => return None,
        };
        for _ in 0..if negated { 3 } else { 2 } {
            parser.next_token();
        }
        let precedence = self.prec_value(Precedence::Between);
        let ends = |parser: &mut Parser| {
            let low = parser.parse_subexpr(precedence)?;
            parser.expect_keyword_is(Keyword::AND)?;
            Ok((low, parser.parse_subexpr(precedence)?))
        };
        let (low, high) = match ends(parser) {
            Ok(ends) => ends,
            Err(error) => return Some(Err(error)),
        };
        let between = |low: &Expr, high: &Expr, negated| Expr::Between {
            expr: Box::new(expr.clone()),
            negated,
            low: Box::new(low.clone()),
            high: Box::new(high.clone()),
        };
        if !is_symmetric {
            return Some(Ok(between(&low, &high, negated)));
        }
        // Between the ends in either order: not between them in both.
        let op = if negated {
            BinaryOperator::And
        } else {
            BinaryOperator::Or
        };
        let either = Expr::BinaryOp {
            left: Box::new(between(&low, &high, negated)),
            op,
            right: Box::new(between(&high, &low, negated)),
        };
        Some(Ok(Expr::Nested(Box::new(either))))
    }

    fn parse_cast(&self, parser: &mut Parser, kind: CastKind) -> Result<Expr, ParserError> {
        parser.next_token();
        parser.expect_token(&Token::LParen)?;
        let expr = Box::new(parser.parse_expr()?);
        parser.expect_keyword_is(Keyword::AS)?;
        check_exact(parser).map_err(|fault| self.hide(fault))?;
        let data_type = parse_type(parser).map_err(|fault| self.hide(fault))?;
        parser.expect_token(&Token::RParen)?;
        let name = Ident::new(self.keep_type(data_type));
        Ok(Expr::Cast {
            kind,
            expr,
            data_type: DataType::Custom(ObjectName(vec![ObjectNamePart::Identifier(name)]), vec![]),
            array: false,
            format: None,
        })
    }

    /// Reads `IS [NOT] DISTINCT FROM x`. By itself the parser would take all that follows as `x`, also
    /// what stands after AND.
    fn parse_distinct_from(
        &self,
        parser: &mut Parser,
        first: &Expr,
    ) -> Option<Result<Expr, ParserError>> {
        use Keyword as K;
        let is_not = parser.parse_keywords(&[K::IS, K::NOT, K::DISTINCT, K::FROM]);
        if !is_not && !parser.parse_keywords(&[K::IS, K::DISTINCT, K::FROM]) {
            return None;
        }
        let first = Box::new(first.clone());
        let second = parser.parse_subexpr(self.prec_value(Precedence::Eq));
        Some(second.map(|second| match is_not {
            true => Expr::IsNotDistinctFrom(first, Box::new(second)),
            false => Expr::IsDistinctFrom(first, Box::new(second)),
        }))
    }
}

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        false
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        first: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if let Some(test) = self.parse_is_json(parser, first) {
            return Some(test);
        }
        if let Some(test) = self.parse_distinct_from(parser, first) {
            return Some(test);
        }
        if let Some(test) = self.parse_between(parser, first) {
            return Some(test);
        }
        let op = associative(&parser.peek_token_ref().token)?;
        Some(parse_row(parser, first.clone(), (op, precedence)))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens::<2>();
        let Token::Word(word) = &first else {
            return None;
        };
        if word.quote_style.is_some() {
            return None;
        }
        if second == Token::LParen
            && let Some(call) = self.parse_json_call(parser)
        {
            return Some(call);
        }
        match (word.keyword, &second) {
            (Keyword::MAP, Token::LBracket) => Some(self.parse_map(parser)),
            (Keyword::TABLE, Token::Word(_)) => Some(parse_table(parser)),
            (Keyword::CAST, Token::LParen) => Some(self.parse_cast(parser, CastKind::Cast)),
            (Keyword::TRY_CAST, Token::LParen) => Some(self.parse_cast(parser, CastKind::TryCast)),
            (Keyword::GROUPING, Token::Word(sets)) if sets.keyword == Keyword::SETS => {
                parser.next_token();
                Some(parse_sets(parser, Expr::GroupingSets))
            }
            (Keyword::ROLLUP, Token::LParen) => Some(parse_sets(parser, Expr::Rollup)),
            (Keyword::CUBE, Token::LParen) => Some(parse_sets(parser, Expr::Cube)),
            _ => None,
        }
    }
}

/// Operators of which a row may be grouped in any way.
fn associative(token: &Token) -> Option<BinaryOperator> {
    match token {
        Token::Word(word) if word.quote_style.is_some() => None,
        Token::Word(word) if word.keyword == Keyword::AND => Some(BinaryOperator::And),
        Token::Word(word) if word.keyword == Keyword::OR => Some(BinaryOperator::Or),
        Token::StringConcat => Some(BinaryOperator::StringConcat),
        _ => None,
    }
}

/// Reads what follows `first` in a row of the same operator.
fn parse_row(
    parser: &mut Parser,
    first: Expr,
    (op, precedence): (BinaryOperator, u8),
) -> Result<Expr, ParserError> {
    let mut operands = vec![first];
    while associative(&parser.peek_token_ref().token).as_ref() == Some(&op) {
        parser.next_token();
        operands.push(parser.parse_subexpr(precedence)?);
    }
    Ok(joined(operands, &op))
}

/// `operands` with `op` between them: a short row from the left, as everybody reads it.
fn joined(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    const SHORT: usize = 16;
    if operands.len() <= SHORT {
        let both = |left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: op.clone(),
            right: Box::new(right),
        };
        let row = operands.into_iter().reduce(both);
        return row.expect("a row has a first operand");
    }
    let right = operands.split_off(operands.len() / 2);
    Expr::BinaryOp {
        left: Box::new(joined(operands, op)),
        op: op.clone(),
        right: Box::new(joined(right, op)),
    }
}

/// Refuses a cast that would have to shorten values: plans know no lengths, and times and
/// timestamps by three digits of precision only.
fn check_exact(parser: &Parser) -> Result<(), Fault> {
    let [token, open, size] = parser.peek_tokens_with_location::<3>();
    let size = match (&open.token, &size.token) {
        (Token::LParen, Token::Number(size, _)) => Some(size.as_str()),
        _ => None,
    };
    let name = crate::parser::word(&token);
    let (exact, instead) = match name.as_str() {
        "CHAR" => (false, "STRING"),
        "VARCHAR" => (matches!(size, None | Some("2147483647")), "STRING"),
        "BINARY" => (false, "BYTES"),
        "VARBINARY" => (matches!(size, None | Some("2147483647")), "BYTES"),
        "TIME" => (size == Some("3"), "TIME(3)"),
        "TIMESTAMP" => (matches!(size, None | Some("3" | "6" | "9")), "TIMESTAMP(3)"),
        "TIMESTAMP_LTZ" => (
            matches!(size, None | Some("3" | "6" | "9")),
            "TIMESTAMP_LTZ(3)",
        ),
        _ => return Ok(()),
    };
    if exact {
        return Ok(());
    }
    let size = size.map_or(String::new(), |size| format!("({size})"));
    let fault = Fault::unsupported(token.span, format!("a CAST to `{name}{size}` is"));
    Err(fault.help(format!("use {instead}")))
}

fn parse_table(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    let mut names = vec![parser.parse_identifier()?];
    while parser.consume_token(&Token::Period) {
        names.push(parser.parse_identifier()?);
    }
    let value = match names.len() {
        1 => Expr::Identifier(names.remove(0)),
        _ => Expr::CompoundIdentifier(names),
    };
    let (prefix, value) = match parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        false => (TABLE, value),
        true => {
            let mut parts = vec![value];
            parts.extend(parse_partition(parser)?.into_iter().map(Expr::Identifier));
            (PARTITIONED_TABLE, Expr::Tuple(parts))
        }
    };
    Ok(Expr::Prefixed {
        prefix: Ident::with_span(span, prefix),
        value: Box::new(value),
    })
}

/// The columns after PARTITION BY, with or without parentheses.
fn parse_partition(parser: &mut Parser) -> Result<Vec<Ident>, ParserError> {
    if parser.consume_token(&Token::LParen) {
        let columns = parser.parse_comma_separated(Parser::parse_identifier)?;
        parser.expect_token(&Token::RParen)?;
        return Ok(columns);
    }
    let mut columns = vec![];
    loop {
        columns.push(parser.parse_identifier()?);
        // The next argument begins after a comma too: a column is followed by another comma or by
        // the end, an argument by its parenthesis.
        let [comma, _, after] = parser.peek_tokens::<3>();
        if comma != Token::Comma || !matches!(after, Token::Comma | Token::RParen) {
            return Ok(columns);
        }
        parser.next_token();
    }
}

fn parse_sets(
    parser: &mut Parser,
    make: impl Fn(Vec<Vec<Expr>>) -> Expr,
) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let sets = parser.parse_comma_separated(|parser| {
        if !parser.consume_token(&Token::LParen) {
            return Ok(vec![parser.parse_expr()?]);
        }
        if parser.consume_token(&Token::RParen) {
            return Ok(vec![]);
        }
        let set = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(&Token::RParen)?;
        Ok(set)
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(make(sets))
}
