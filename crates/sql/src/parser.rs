//! Text to statements. Queries and expressions are parsed by sqlparser in [`FlinkDialect`]; the
//! statements around them here, token by token, so that each error says what was expected.

pub(crate) mod data_type;
mod depth;
mod table;

use sqlparser::ast::{Ident, Query};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use crate::ast::{CreateFunction, CreateView, Explained, Insert, Statement, Text};
use crate::diagnostic::{Fault, Origin, Place, Result};
use crate::dialect::FlinkDialect;

const STATEMENTS: &str = "expected CREATE TABLE, CREATE VIEW, INSERT INTO, EXECUTE STATEMENT SET, \
                          SET or EXPLAIN";

/// What sqlparser counts for itself: it gives up further in than `depth`, which says what is wrong.
const RECURSION_MAX: usize = 200;

/// Parses all statements of `text`.
pub(crate) fn parse(text: &str, dialect: &FlinkDialect) -> Result<Vec<Statement>> {
    let tokens = tokenize(text, dialect)?;
    depth::check(&tokens)?;
    let parser = Parser::new(dialect)
        .with_recursion_limit(RECURSION_MAX)
        .with_tokens_with_locations(tokens.clone());
    let mut script = ScriptParser {
        parser,
        dialect,
        tokens,
        statements: vec![],
    };
    match script.parse_all() {
        Ok(()) => Ok(script.statements),
        Err(fault) => Err(script.deepest(fault)),
    }
}

fn tokenize(text: &str, dialect: &FlinkDialect) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| {
        let message = error.message;
        Fault::at(error.location, lower_first(&message))
    })?;
    let mut split = Vec::with_capacity(tokens.len() + 1);
    for token in tokens {
        match &token.token {
            Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+') => {
                return Err(Fault::unsupported(token.span, "hints (`/*+ … */`) are"));
            }
            Token::DoubleQuotedString(_) => {
                let fault = Fault::at(token.span, format!("found `{token}` in double quotes"));
                return Err(fault.help("write 'text' for a string, `name` for a name"));
            }
            // Types close with `>`, also next to each other; Flink has no shift operator.
            Token::ShiftRight => {
                split.push(TokenWithSpan::new(Token::Gt, token.span));
                split.push(TokenWithSpan::new(Token::Gt, token.span));
            }
            _ => split.push(token),
        }
    }
    let end = split
        .last()
        .map_or(Location::new(1, 1), |last| last.span.end);
    split.push(TokenWithSpan::new(Token::EOF, end.span_to(end)));
    Ok(split)
}

struct ScriptParser<'a> {
    parser: Parser<'a>,
    dialect: &'a FlinkDialect,
    tokens: Vec<TokenWithSpan>,
    statements: Vec<Statement>,
}

impl ScriptParser<'_> {
    fn parse_all(&mut self) -> Result<()> {
        loop {
            while self.parser.consume_token(&Token::SemiColon) {}
            if self.parser.peek_token_ref().token == Token::EOF {
                return Ok(());
            }
            self.parse_statement()?;
            self.end_of_statement()?;
        }
    }

    fn end_of_statement(&mut self) -> Result<()> {
        let token = self.parser.peek_token();
        match token.token {
            Token::SemiColon | Token::EOF => Ok(()),
            _ => Err(found(&token, "`;` or the rest of the statement")),
        }
    }

    fn parse_statement(&mut self) -> Result<()> {
        let token = self.parser.peek_token();
        let statement = match word(&token).as_str() {
            "CREATE" => self.parse_create()?,
            "INSERT" => Statement::Insert(self.parse_insert()?),
            "SET" => self.parse_set()?,
            "EXPLAIN" => self.parse_explain()?,
            "EXECUTE" => return self.parse_execute(),
            "BEGIN" => return self.parse_begin(),
            "SELECT" | "WITH" | "VALUES" => {
                let message = "a query by itself, expected INSERT INTO before it".to_owned();
                return Err(Fault::at(token.span, message).help(
                    "a script says where rows go; ask tables with `millstream sql \"SELECT …\"`",
                ));
            }
            "" => return Err(found(&token, "a statement").help(STATEMENTS)),
            word => {
                let what = format!("`{word}` statements are");
                return Err(Fault::unsupported(token.span, what).help(STATEMENTS));
            }
        };
        self.statements.push(statement);
        Ok(())
    }

    fn parse_create(&mut self) -> Result<Statement> {
        self.parser.next_token();
        if self.parser.parse_keyword(Keyword::OR) {
            let place = self.parser.peek_token().span;
            return Err(Fault::unsupported(place, "`CREATE OR REPLACE` is"));
        }
        let _ = self.parser.parse_keyword(Keyword::TEMPORARY);
        let token = self.parser.next_token();
        match word(&token).as_str() {
            "TABLE" => table::parse_create_table(&mut self.parser, self.dialect),
            "VIEW" => self.parse_create_view(),
            "FUNCTION" => self.parse_create_function(),
            "" => Err(found(&token, "TABLE, VIEW or FUNCTION")),
            other => {
                let fault = Fault::unsupported(token.span, format!("`CREATE {other}` is"));
                Err(fault.help("expected CREATE TABLE, CREATE VIEW or CREATE FUNCTION"))
            }
        }
    }

    fn parse_create_view(&mut self) -> Result<Statement> {
        let if_not_exists = parse_if_not_exists(&mut self.parser);
        let name = parse_name(&mut self.parser)?;
        let columns = parse_names(&mut self.parser)?;
        parse_comment(&mut self.parser)?;
        expect_word(&mut self.parser, Keyword::AS)?;
        let query = self.parse_query()?;
        Ok(Statement::CreateView(CreateView {
            name,
            columns,
            query,
            if_not_exists,
        }))
    }

    /// `name(a type, …) RETURNS type AS expression`
    fn parse_create_function(&mut self) -> Result<Statement> {
        let if_not_exists = parse_if_not_exists(&mut self.parser);
        let name = parse_name(&mut self.parser)?;
        let token = self.parser.peek_token();
        if word(&token) == "AS" {
            let fault = Fault::unsupported(token.span, "a function of a class is");
            return Err(
                fault.help("write CREATE FUNCTION name(a TYPE, …) RETURNS TYPE AS expression")
            );
        }
        expect(&mut self.parser, &Token::LParen)?;
        let mut params = vec![];
        while !self.parser.consume_token(&Token::RParen) {
            if !params.is_empty() {
                expect(&mut self.parser, &Token::Comma)?;
            }
            let param = parse_identifier(&mut self.parser, "the name of a parameter")?;
            params.push((param, data_type::parse_type(&mut self.parser)?));
        }
        expect_text(&mut self.parser, &["RETURNS"])?;
        let returns = data_type::parse_type(&mut self.parser)?;
        expect_word(&mut self.parser, Keyword::AS)?;
        let body = self.parser.parse_expr();
        let body = Box::new(body.map_err(|error| self.fault(error))?);
        Ok(Statement::CreateFunction(CreateFunction {
            name,
            if_not_exists,
            params,
            returns,
            body,
        }))
    }

    fn parse_insert(&mut self) -> Result<Insert> {
        self.parser.next_token();
        let token = self.parser.peek_token();
        if word(&token) == "OVERWRITE" {
            return Err(Fault::unsupported(token.span, "`INSERT OVERWRITE` is"));
        }
        expect_word(&mut self.parser, Keyword::INTO)?;
        let table = parse_name(&mut self.parser)?;
        let token = self.parser.peek_token();
        if word(&token) == "PARTITION" {
            return Err(Fault::unsupported(
                token.span,
                "`INSERT INTO … PARTITION` is",
            ));
        }
        let columns = match self.parser.peek_tokens::<2>() {
            [Token::LParen, Token::Word(word)]
                if matches!(word.keyword, Keyword::SELECT | Keyword::WITH) =>
            {
                vec![]
            }
            _ => parse_names(&mut self.parser)?,
        };
        let token = self.parser.peek_token();
        if word(&token) == "VALUES" {
            return Err(Fault::unsupported(token.span, "`VALUES` is"));
        }
        let query = self.parse_query()?;
        Ok(Insert {
            table,
            columns,
            query,
        })
    }

    fn parse_query(&mut self) -> Result<Box<Query>> {
        let token = self.parser.peek_token();
        match (word(&token).as_str(), &token.token) {
            ("SELECT" | "WITH" | "VALUES", _) | (_, Token::LParen) => {}
            _ => return Err(found(&token, "SELECT")),
        }
        let query = self.parser.parse_query();
        query.map_err(|error| self.fault(error))
    }

    fn parse_set(&mut self) -> Result<Statement> {
        self.parser.next_token();
        let key = parse_string(&mut self.parser, "a key in single quotes")?;
        expect(&mut self.parser, &Token::Eq)?;
        let value = parse_string(&mut self.parser, "a value in single quotes")?;
        Ok(Statement::Set(key, value))
    }

    fn parse_explain(&mut self) -> Result<Statement> {
        let place = self.parser.next_token().span.start;
        if self.parser.parse_keyword(Keyword::PLAN) {
            expect_word(&mut self.parser, Keyword::FOR)?;
        }
        let token = self.parser.peek_token();
        let explained = match word(&token).as_str() {
            "INSERT" => Explained::Insert(self.parse_insert()?),
            "SELECT" | "WITH" => Explained::Query(self.parse_query()?),
            _ => return Err(found(&token, "INSERT INTO or SELECT")),
        };
        Ok(Statement::Explain(place, explained))
    }

    /// `EXECUTE STATEMENT SET BEGIN insert; … END`, or `EXECUTE insert`.
    fn parse_execute(&mut self) -> Result<()> {
        self.parser.next_token();
        if word(&self.parser.peek_token()) == "INSERT" {
            let insert = self.parse_insert()?;
            self.statements.push(Statement::Insert(insert));
            return Ok(());
        }
        expect_text(&mut self.parser, &["STATEMENT", "SET", "BEGIN"])?;
        self.parse_statement_set()
    }

    /// `BEGIN STATEMENT SET; insert; … END`.
    fn parse_begin(&mut self) -> Result<()> {
        expect_text(&mut self.parser, &["BEGIN", "STATEMENT", "SET"])?;
        expect(&mut self.parser, &Token::SemiColon)?;
        self.parse_statement_set()
    }

    fn parse_statement_set(&mut self) -> Result<()> {
        loop {
            while self.parser.consume_token(&Token::SemiColon) {}
            let token = self.parser.peek_token();
            match word(&token).as_str() {
                "END" => {
                    self.parser.next_token();
                    return Ok(());
                }
                "INSERT" => {
                    let insert = self.parse_insert()?;
                    self.statements.push(Statement::Insert(insert));
                    expect(&mut self.parser, &Token::SemiColon)?;
                }
                _ => return Err(found(&token, "INSERT INTO or END of the statement set")),
            }
        }
    }

    /// sqlparser drops what went wrong inside a subquery of FROM and reports its parenthesis. The
    /// fault that is furthest in the text is the real one, so each subquery is parsed by itself.
    fn deepest(&self, fault: Fault) -> Fault {
        let position = |fault: &Fault| match &fault.place {
            Origin::Text(place) => (place.line, place.column),
            Origin::Setting(_) => (0, 0),
        };
        let failed = position(&fault);
        let mut deepest = fault;
        let code = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
        let indices: Vec<usize> = (0..self.tokens.len())
            .filter(|index| code(&&self.tokens[*index]))
            .collect();
        for pair in indices.windows(2) {
            let (open, first) = (&self.tokens[pair[0]], &self.tokens[pair[1]]);
            let place = (open.span.start.line, open.span.start.column);
            let subquery = open.token == Token::LParen && word(first) == "SELECT";
            // Only the parenthesis that was complained about, and what is inside it.
            if !subquery || place > position(&deepest).max(failed) {
                continue;
            }
            let rest = self.tokens[pair[1]..].to_vec();
            let mut parser = Parser::new(self.dialect).with_tokens_with_locations(rest);
            let result = parser.parse_query().map_err(|error| self.fault(error));
            let result = result.and_then(|_| expect(&mut parser, &Token::RParen));
            if let Err(inner) = result
                && position(&inner) > position(&deepest)
            {
                deepest = inner;
            }
        }
        deepest
    }

    fn fault(&self, error: ParserError) -> Fault {
        let here = self.parser.peek_token_ref().span.start;
        from_expr(self.dialect, error, here)
    }
}

/// A fault from an error of sqlparser; at `place` if the error does not say where.
pub(crate) fn from_expr(dialect: &FlinkDialect, error: ParserError, place: Place) -> Fault {
    if let ParserError::ParserError(message) = &error
        && let Some(fault) = dialect.take_fault(message)
    {
        return fault;
    }
    let mut fault = from_error(error);
    if fault.place == Origin::Text(Location::new(0, 0)) {
        fault.place = Origin::Text(place);
    }
    fault
}

/// A fault from an error of sqlparser, whose place is at the end of its message.
fn from_error(error: ParserError) -> Fault {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "nested too deeply".to_owned(),
    };
    let (text, place) = split_place(&message);
    let text = text.trim();
    let Some(rest) = text.strip_prefix("Expected: ") else {
        return Fault::at(place, lower_first(text));
    };
    match rest.rsplit_once(", found: ") {
        Some((expected, found)) => {
            let found = match found {
                "EOF" => "the end of the script".to_owned(),
                found => format!("`{found}`"),
            };
            let symbol = !expected.contains(char::is_alphanumeric);
            let quote = if symbol { "`" } else { "" };
            Fault::at(
                place,
                format!("found {found}, expected {quote}{expected}{quote}"),
            )
        }
        None => Fault::at(place, lower_first(text)),
    }
}

fn split_place(message: &str) -> (&str, Location) {
    let parse = || {
        let (text, place) = message.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        let place = Location::new(line.parse().ok()?, column.trim().parse().ok()?);
        Some((text, place))
    };
    parse().unwrap_or((message, Location::new(0, 0)))
}

fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

pub(crate) fn from_parser<T>(result: Result<T, ParserError>) -> Result<T> {
    result.map_err(from_error)
}

/// A bare word in upper case; empty for anything else.
pub(crate) fn word(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(Word {
            value,
            quote_style: None,
            ..
        }) => value.to_uppercase(),
        _ => String::new(),
    }
}

/// `token` was found instead of `expected`.
pub(crate) fn found(token: &TokenWithSpan, expected: &str) -> Fault {
    let found = match &token.token {
        Token::EOF => "the end of the script".to_owned(),
        token => format!("`{token}`"),
    };
    Fault::at(token.span, format!("found {found}, expected {expected}"))
}

pub(crate) fn expect(parser: &mut Parser, expected: &Token) -> Result<()> {
    let token = parser.next_token();
    match token.token == *expected {
        true => Ok(()),
        false => Err(found(&token, &format!("`{expected}`"))),
    }
}

pub(crate) fn expect_word(parser: &mut Parser, expected: Keyword) -> Result<()> {
    let token = parser.peek_token();
    match parser.parse_keyword(expected) {
        true => Ok(()),
        false => Err(found(&token, &format!("{expected:?}"))),
    }
}

fn expect_text(parser: &mut Parser, expected: &[&str]) -> Result<()> {
    for expected in expected {
        let token = parser.next_token();
        if word(&token) != *expected {
            return Err(found(&token, expected));
        }
    }
    Ok(())
}

pub(crate) fn parse_if_not_exists(parser: &mut Parser) -> bool {
    parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS])
}

/// A name of a table: one identifier.
pub(crate) fn parse_name(parser: &mut Parser) -> Result<Ident> {
    let name = parse_identifier(parser, "a name")?;
    if parser.peek_token_ref().token == Token::Period {
        let fault = Fault::unsupported(name.span, "a name with a catalog or database is");
        return Err(fault.help("use the table's bare name"));
    }
    Ok(name)
}

pub(crate) fn parse_identifier(parser: &mut Parser, expected: &str) -> Result<Ident> {
    let token = parser.next_token();
    match token.token {
        Token::Word(word) => Ok(word.into_ident(token.span)),
        _ => Err(found(&token, expected)),
    }
}

/// `(a, b)`, if there is one.
pub(crate) fn parse_names(parser: &mut Parser) -> Result<Vec<Ident>> {
    let mut names = vec![];
    if !parser.consume_token(&Token::LParen) {
        return Ok(names);
    }
    loop {
        names.push(parse_identifier(parser, "the name of a column")?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)?;
    Ok(names)
}

pub(crate) fn parse_comment(parser: &mut Parser) -> Result<()> {
    if parser.parse_keyword(Keyword::COMMENT) {
        parse_string(parser, "a comment in single quotes")?;
    }
    Ok(())
}

pub(crate) fn parse_string(parser: &mut Parser, expected: &str) -> Result<Text> {
    let token = parser.next_token();
    let place: Place = token.span.start;
    match token.token {
        Token::SingleQuotedString(value) => Ok(Text { value, place }),
        _ => Err(found(&token, expected)),
    }
}
