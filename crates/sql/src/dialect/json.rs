//! The JSON functions, whose arguments have a grammar of their own, and `MAP[…]`. Each becomes a plain call with
//! its clauses as constants, in the order in which the engine takes them; the name of the call is the
//! function's.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token};

use super::FlinkDialect;
use crate::diagnostic::Fault;
use crate::parser::data_type::parse_plain;
use crate::parser::{found, word};

/// The name of the call that `x IS JSON` becomes: no identifier can be written so.
pub(crate) const IS_JSON: &str = "IS JSON";

/// The name of the call that `MAP[…]` becomes.
pub(crate) const MAP: &str = "MAP[…]";

type Parsed<T> = Result<T, ParserError>;

impl FlinkDialect {
    /// Parses a call of one of these functions, if the next token begins one.
    pub(super) fn parse_json_call(&self, parser: &mut Parser) -> Option<Parsed<Expr>> {
        let parse: fn(&Self, &mut Parser) -> Parsed<Vec<Expr>> =
            match word(&parser.peek_token()).as_str() {
                "JSON_EXISTS" => Self::parse_exists,
                "JSON_VALUE" => Self::parse_value,
                "JSON_QUERY" => Self::parse_query,
                "JSON_OBJECT" => Self::parse_object,
                "JSON_ARRAY" => Self::parse_array,
                "JSON_OBJECTAGG" => Self::parse_object_entry,
                "JSON_ARRAYAGG" => Self::parse_array_element,
                _ => return None,
            };
        let name = parser.next_token();
        let call = |parser: &mut Parser| {
            parser.expect_token(&Token::LParen)?;
            let args = parse(self, parser)?;
            parser.expect_token(&Token::RParen)?;
            let mut call = call(&word(&name), name.span, args);
            if word(&name).ends_with("AGG") {
                self.parse_filter(parser, &mut call)?;
            }
            Ok(call)
        };
        Some(call(parser))
    }

    /// `FILTER (WHERE …)` after an aggregate function. OVER is refused, as in Flink.
    fn parse_filter(&self, parser: &mut Parser, call: &mut Expr) -> Parsed<()> {
        if parser.parse_keyword(Keyword::FILTER) {
            parser.expect_token(&Token::LParen)?;
            parser.expect_keyword_is(Keyword::WHERE)?;
            let condition = parser.parse_expr()?;
            parser.expect_token(&Token::RParen)?;
            if let Expr::Function(function) = call {
                function.filter = Some(Box::new(condition));
            }
        }
        let token = parser.peek_token();
        match word(&token).as_str() {
            "OVER" => {
                let what = "a JSON aggregate with OVER is";
                Err(self.hide(Fault::unsupported(token.span, what)))
            }
            _ => Ok(()),
        }
    }

    /// Parses `MAP[key, value, …]`.
    pub(super) fn parse_map(&self, parser: &mut Parser) -> Parsed<Expr> {
        let name = parser.next_token();
        parser.expect_token(&Token::LBracket)?;
        let parts = match parser.peek_token_ref().token {
            Token::RBracket => vec![],
            _ => parser.parse_comma_separated(Parser::parse_expr)?,
        };
        parser.expect_token(&Token::RBracket)?;
        Ok(call(MAP, name.span, parts))
    }

    /// Parses `IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]` after `expr`, if that is next.
    pub(super) fn parse_is_json(&self, parser: &mut Parser, expr: &Expr) -> Option<Parsed<Expr>> {
        let [is, second, third] = parser.peek_tokens_with_location::<3>();
        let negated = word(&second) == "NOT";
        let json = if negated { &third } else { &second };
        if word(&is) != "IS" || word(json) != "JSON" {
            return None;
        }
        for _ in 0..if negated { 3 } else { 2 } {
            parser.next_token();
        }
        let kind = word(&parser.peek_token());
        let kind = match kind.as_str() {
            "VALUE" | "SCALAR" | "ARRAY" | "OBJECT" => {
                parser.next_token();
                kind
            }
            _ => "VALUE".to_owned(),
        };
        let test = call(IS_JSON, is.span, vec![expr.clone(), text(&kind)]);
        Some(Ok(match negated {
            true => Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(test),
            },
            false => test,
        }))
    }

    /// `json, path`
    fn parse_path(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let json = parser.parse_expr()?;
        parser.expect_token(&Token::Comma)?;
        Ok(vec![json, parser.parse_expr()?])
    }

    /// One of `words` in order; the words that were found.
    fn parse_one_of(&self, parser: &mut Parser, expected: &[&str]) -> Parsed<String> {
        for words in expected {
            let words: Vec<&str> = words.split(' ').collect();
            let next = parser.peek_tokens_with_location::<3>();
            let fits = words.iter().zip(&next).all(|(w, token)| *w == word(token));
            if fits {
                words.iter().for_each(|_| {
                    parser.next_token();
                });
                return Ok(words.join(" "));
            }
        }
        let token = parser.peek_token();
        Err(self.hide(found(&token, &expected.join(", "))))
    }

    /// `behaviour ON EMPTY` and `behaviour ON ERROR` in any order, each at most once; a default beside
    /// them.
    fn parse_behaviours(
        &self,
        parser: &mut Parser,
        expected: &[&str],
    ) -> Parsed<[(String, Expr); 2]> {
        let null = || {
            (
                "NULL".to_owned(),
                Expr::Value(Value::Null.with_empty_span()),
            )
        };
        let mut behaviours = [null(), null()];
        let mut given = [false; 2];
        while parser.peek_token_ref().token != Token::RParen {
            let behaviour = self.parse_one_of(parser, expected)?;
            let default = match behaviour.as_str() {
                "DEFAULT" => parser.parse_expr()?,
                _ => null().1,
            };
            self.parse_one_of(parser, &["ON"])?;
            let token = parser.peek_token();
            let moment = self.parse_one_of(parser, &["EMPTY", "ERROR"])?;
            let index = usize::from(moment == "ERROR");
            if std::mem::replace(&mut given[index], true) {
                let expected = "ON EMPTY and ON ERROR once each";
                return Err(self.hide(found(&token, expected)));
            }
            behaviours[index] = (behaviour, default);
        }
        Ok(behaviours)
    }

    fn parse_exists(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let mut args = self.parse_path(parser)?;
        let mut behaviour = "FALSE".to_owned();
        if parser.peek_token_ref().token != Token::RParen {
            behaviour = self.parse_one_of(parser, &["TRUE", "FALSE", "UNKNOWN", "ERROR"])?;
            self.parse_one_of(parser, &["ON ERROR"])?;
        }
        args.push(text(&behaviour));
        Ok(args)
    }

    /// `json, path, onEmpty, onError, defaultOnEmpty, defaultOnError, type`: the type by its number.
    fn parse_value(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let mut args = self.parse_path(parser)?;
        let number = self.parse_returning(parser)?;
        let [empty, error] = self.parse_behaviours(parser, &["NULL", "ERROR", "DEFAULT"])?;
        args.extend([
            text(&empty.0),
            text(&error.0),
            empty.1,
            error.1,
            text(&number),
        ]);
        Ok(args)
    }

    /// The number of the type after RETURNING; empty without one.
    fn parse_returning(&self, parser: &mut Parser) -> Parsed<String> {
        if word(&parser.peek_token()) != "RETURNING" {
            return Ok(String::new());
        }
        parser.next_token();
        let data_type = parse_plain(parser).map_err(|fault| self.hide(fault))?;
        Ok(self.keep_type(data_type))
    }

    /// `json, path, wrapper, onEmpty, onError, type`: the type by its number.
    fn parse_query(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let mut args = self.parse_path(parser)?;
        let number = self.parse_returning(parser)?;
        let wrapper = match word(&parser.peek_token()).as_str() {
            "WITHOUT" => {
                parser.next_token();
                "WITHOUT"
            }
            "WITH" => {
                parser.next_token();
                match word(&parser.peek_token()).as_str() {
                    "CONDITIONAL" => {
                        parser.next_token();
                        "CONDITIONAL"
                    }
                    "UNCONDITIONAL" => {
                        parser.next_token();
                        "UNCONDITIONAL"
                    }
                    _ => "UNCONDITIONAL",
                }
            }
            _ => "",
        };
        if !wrapper.is_empty() {
            self.parse_one_of(parser, &["ARRAY WRAPPER", "WRAPPER"])?;
        }
        let expected = ["NULL", "ERROR", "EMPTY ARRAY", "EMPTY OBJECT"];
        let [empty, error] = self.parse_behaviours(parser, &expected)?;
        let wrapper = if wrapper.is_empty() {
            "WITHOUT"
        } else {
            wrapper
        };
        args.extend([wrapper, &empty.0, &error.0, &number].map(text));
        Ok(args)
    }

    /// `NULL ON NULL` or `ABSENT ON NULL`, as `n` or `a`.
    fn parse_on_null(&self, parser: &mut Parser, default: &str) -> Parsed<Expr> {
        let clause = match parser.peek_token_ref().token {
            Token::RParen => return Ok(text(default)),
            _ => self.parse_one_of(parser, &["NULL ON NULL", "ABSENT ON NULL"])?,
        };
        Ok(text(if clause.starts_with('N') { "n" } else { "a" }))
    }

    /// Whether the values have ended.
    fn is_end_of_values(&self, parser: &Parser) -> bool {
        let [first, second] = parser.peek_tokens_with_location::<2>();
        let clause = matches!(word(&first).as_str(), "NULL" | "ABSENT") && word(&second) == "ON";
        first.token == Token::RParen || clause
    }

    /// `onNull, key, value, …`
    fn parse_object(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let mut args = vec![];
        while !self.is_end_of_values(parser) {
            let [first, second] = parser.peek_tokens_with_location::<2>();
            let is_string = matches!(second.token, Token::SingleQuotedString(_));
            if word(&first) == "KEY" && is_string {
                parser.next_token();
            }
            args.push(parser.parse_expr()?);
            self.parse_one_of(parser, &["VALUE"])?;
            args.push(parser.parse_expr()?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        args.insert(0, self.parse_on_null(parser, "n")?);
        Ok(args)
    }

    /// `onNull, key, value` of JSON_OBJECTAGG.
    fn parse_object_entry(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let [first, second] = parser.peek_tokens_with_location::<2>();
        let begins = match &second.token {
            Token::Word(_) => word(&second) != "VALUE",
            other => matches!(other, Token::SingleQuotedString(_)),
        };
        if word(&first) == "KEY" && begins {
            parser.next_token();
        }
        let key = parser.parse_expr()?;
        self.parse_one_of(parser, &["VALUE"])?;
        let value = parser.parse_expr()?;
        Ok(vec![self.parse_on_null(parser, "n")?, key, value])
    }

    /// `onNull, value` of JSON_ARRAYAGG.
    fn parse_array_element(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let value = parser.parse_expr()?;
        Ok(vec![self.parse_on_null(parser, "a")?, value])
    }

    /// `onNull, value, …`
    fn parse_array(&self, parser: &mut Parser) -> Parsed<Vec<Expr>> {
        let mut args = vec![];
        while !self.is_end_of_values(parser) {
            args.push(parser.parse_expr()?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        args.insert(0, self.parse_on_null(parser, "a")?);
        Ok(args)
    }
}

fn text(value: &str) -> Expr {
    let value = Value::SingleQuotedString(value.to_owned());
    Expr::Value(ValueWithSpan {
        value,
        span: Span::empty(),
    })
}

fn call(name: &str, span: Span, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(FunctionArgExpr::Expr);
    let list = FunctionArgumentList {
        duplicate_treatment: None,
        args: args.map(FunctionArg::Unnamed).collect(),
        clauses: vec![],
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
