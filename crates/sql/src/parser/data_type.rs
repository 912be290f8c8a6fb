//! Flink's types, as written in tables and casts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_core::types::{array, map, timestamp, timestamp_ltz};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::diagnostic::{Fault, Result};
use crate::parser::{expect, from_parser};

const KNOWN: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "CHAR",
    "VARCHAR",
    "STRING",
    "BINARY",
    "VARBINARY",
    "BYTES",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ROW",
    "ARRAY",
    "MAP",
];

/// Reads a type, with `NULL` or `NOT NULL` after it. Columns may always be null: NOT NULL is
/// accepted and not enforced.
pub(crate) fn parse_type(parser: &mut Parser) -> Result<DataType> {
    let mut data_type = parse_plain(parser)?;
    loop {
        if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL])
            || parser.parse_keyword(Keyword::NULL)
        {
            continue;
        }
        // `INT ARRAY`, the other way to write `ARRAY<INT>`.
        if !parser.parse_keyword(Keyword::ARRAY) {
            return Ok(data_type);
        }
        data_type = array(data_type);
    }
}

/// Reads a type without anything after it.
pub(crate) fn parse_plain(parser: &mut Parser) -> Result<DataType> {
    let token = parser.next_token();
    let name = match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => {
            return Err(Fault::at(
                token.span,
                format!("found `{token}`, expected a type"),
            ));
        }
    };
    Ok(match name.as_str() {
        "BOOLEAN" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "FLOAT" => DataType::Float32,
        "DOUBLE" => {
            let _ = parser.parse_keyword(Keyword::PRECISION);
            DataType::Float64
        }
        "DECIMAL" | "DEC" | "NUMERIC" => parse_decimal(parser, &token)?,
        "CHAR" | "VARCHAR" => {
            parse_number(parser, (1, i64::from(i32::MAX)))?;
            DataType::Utf8
        }
        "STRING" => DataType::Utf8,
        "BINARY" | "VARBINARY" => {
            parse_number(parser, (1, i64::from(i32::MAX)))?;
            DataType::Binary
        }
        "BYTES" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIME" => {
            parse_number(parser, (0, 3))?;
            DataType::Time32(TimeUnit::Millisecond)
        }
        "TIMESTAMP" => parse_timestamp(parser, &token)?,
        "TIMESTAMP_LTZ" => timestamp_ltz(parse_precision(parser)?),
        "ROW" => parse_row(parser)?,
        "ARRAY" => {
            expect(parser, &Token::Lt)?;
            let element = parse_type(parser)?;
            close(parser)?;
            array(element)
        }
        "MAP" => {
            expect(parser, &Token::Lt)?;
            let key = parse_type(parser)?;
            expect(parser, &Token::Comma)?;
            let value = parse_type(parser)?;
            close(parser)?;
            map(key, value)
        }
        "MULTISET" | "RAW" | "INTERVAL" | "VARIANT" => {
            return Err(Fault::unsupported(token.span, format!("type `{name}` is")));
        }
        _ => {
            let fault = Fault::at(token.span, format!("unknown type `{token}`"));
            return Err(fault.near(&name, KNOWN.iter().copied()));
        }
    })
}

fn parse_decimal(parser: &mut Parser, token: &TokenWithSpan) -> Result<DataType> {
    let (mut precision, mut scale) = (10, 0);
    if parser.consume_token(&Token::LParen) {
        precision = literal(parser, (1, 38))?;
        if parser.consume_token(&Token::Comma) {
            scale = literal(parser, (0, 38))?;
        }
        expect(parser, &Token::RParen)?;
    }
    if scale > precision {
        let message =
            format!("found scale={scale} precision={precision}, expected scale <= precision");
        return Err(Fault::at(token.span, message));
    }
    // Both are at most 38.
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

/// `TIMESTAMP[(p)] [WITHOUT TIME ZONE | WITH LOCAL TIME ZONE]`.
fn parse_timestamp(parser: &mut Parser, token: &TokenWithSpan) -> Result<DataType> {
    let precision = parse_precision(parser)?;
    if parser.parse_keywords(&[Keyword::WITHOUT, Keyword::TIME, Keyword::ZONE]) {
        return Ok(timestamp(precision));
    }
    if parser.parse_keywords(&[Keyword::WITH, Keyword::LOCAL, Keyword::TIME, Keyword::ZONE]) {
        return Ok(timestamp_ltz(precision));
    }
    if parser.parse_keywords(&[Keyword::WITH, Keyword::TIME, Keyword::ZONE]) {
        let fault = Fault::unsupported(token.span, "`TIMESTAMP WITH TIME ZONE` is");
        return Err(fault.help("use TIMESTAMP_LTZ or TIMESTAMP"));
    }
    Ok(timestamp(precision))
}

fn parse_precision(parser: &mut Parser) -> Result<u8> {
    // By default 6, as in Flink.
    let precision = parse_number(parser, (0, 9))?.unwrap_or(6);
    Ok(u8::try_from(precision).expect("at most 9"))
}

fn parse_row(parser: &mut Parser) -> Result<DataType> {
    let round = parser.consume_token(&Token::LParen);
    if !round {
        expect(parser, &Token::Lt)?;
    }
    let mut fields: Vec<Field> = vec![];
    loop {
        let name = from_parser(parser.parse_identifier())?;
        if fields.iter().any(|field| *field.name() == name.value) {
            let message = format!("field `{}` is there twice", name.value);
            return Err(Fault::at(name.span, message));
        }
        let data_type = parse_type(parser)?;
        if let Token::SingleQuotedString(_) = parser.peek_token_ref().token {
            parser.next_token();
        }
        fields.push(Field::new(name.value, data_type, true));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    match round {
        true => expect(parser, &Token::RParen)?,
        false => close(parser)?,
    }
    let fields: Fields = fields.into_iter().map(Arc::new).collect();
    Ok(DataType::Struct(fields))
}

/// Reads the `>` that closes a type. The tokens of `>>` were split before parsing.
fn close(parser: &mut Parser) -> Result<()> {
    expect(parser, &Token::Gt)
}

fn parse_number(parser: &mut Parser, range: (i64, i64)) -> Result<Option<i64>> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(None);
    }
    let number = literal(parser, range)?;
    expect(parser, &Token::RParen)?;
    Ok(Some(number))
}

fn literal(parser: &mut Parser, (least, most): (i64, i64)) -> Result<i64> {
    let token = parser.next_token();
    let number = match &token.token {
        Token::Number(digits, _) => digits.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        let message = format!("found `{token}`, expected a number from {least} to {most}");
        Fault::at(token.span, message)
    })
}
