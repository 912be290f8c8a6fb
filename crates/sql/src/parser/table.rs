//! `CREATE TABLE`.

use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::ast::{Column, ColumnKind, CreateTable, Statement, Text, WatermarkClause};
use crate::diagnostic::{Fault, Result};
use crate::dialect::FlinkDialect;
use crate::parser::data_type::parse_type;
use crate::parser::{
    expect, expect_word, found, parse_comment, parse_identifier, parse_if_not_exists, parse_name,
    parse_names, parse_string, word,
};

/// Reads what follows `CREATE [TEMPORARY] TABLE`.
pub(crate) fn parse_create_table(parser: &mut Parser, dialect: &FlinkDialect) -> Result<Statement> {
    let if_not_exists = parse_if_not_exists(parser);
    let mut table = CreateTable {
        name: parse_name(parser)?,
        if_not_exists,
        columns: vec![],
        watermark: None,
        primary_key: vec![],
        options: vec![],
    };
    let token = parser.next_token();
    match (&token.token, word(&token).as_str()) {
        (Token::LParen, _) => {}
        (_, "LIKE") => return Err(Fault::unsupported(token.span, "`CREATE TABLE … LIKE` is")),
        (_, "AS") => return Err(Fault::unsupported(token.span, "`CREATE TABLE … AS` is")),
        (_, "WITH") => return Err(found(&token, "`(` and the columns of the table")),
        _ => return Err(found(&token, "`(`")),
    }
    loop {
        parse_element(parser, dialect, &mut table)?;
        let token = parser.next_token();
        match token.token {
            Token::Comma => {}
            Token::RParen => break,
            _ => return Err(found(&token, "`,` or `)` after a column")),
        }
    }
    parse_comment(parser)?;
    parse_after_columns(parser)?;
    parse_options(parser, &mut table)?;
    let token = parser.peek_token();
    match word(&token).as_str() {
        "LIKE" => Err(Fault::unsupported(token.span, "`CREATE TABLE … LIKE` is")),
        "AS" => Err(Fault::unsupported(token.span, "`CREATE TABLE … AS` is")),
        _ => Ok(Statement::CreateTable(Box::new(table))),
    }
}

/// Refuses what may stand between the columns and WITH.
fn parse_after_columns(parser: &mut Parser) -> Result<()> {
    let token = parser.peek_token();
    match word(&token).as_str() {
        "PARTITIONED" => Err(Fault::unsupported(token.span, "`PARTITIONED BY` is")),
        "DISTRIBUTED" => Err(Fault::unsupported(token.span, "`DISTRIBUTED BY` is")),
        _ => Ok(()),
    }
}

fn parse_options(parser: &mut Parser, table: &mut CreateTable) -> Result<()> {
    let token = parser.peek_token();
    if !parser.parse_keyword(Keyword::WITH) {
        let fault = found(&token, "WITH and the table's options");
        return Err(fault.help("for example WITH ('connector' = 'filesystem', 'path' = '…')"));
    }
    expect(parser, &Token::LParen)?;
    loop {
        let key = parse_string(parser, "an option's key in single quotes")?;
        expect(parser, &Token::Eq)?;
        let value = parse_string(parser, "an option's value in single quotes")?;
        push_option(&mut table.options, key, value)?;
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)
}

fn push_option(options: &mut Vec<(Text, Text)>, key: Text, value: Text) -> Result<()> {
    if options.iter().any(|(known, _)| known.value == key.value) {
        let message = format!("option `{}` is there twice", key.value);
        return Err(Fault::at(key.place, message));
    }
    options.push((key, value));
    Ok(())
}

fn parse_element(
    parser: &mut Parser,
    dialect: &FlinkDialect,
    table: &mut CreateTable,
) -> Result<()> {
    let [first, second] = parser.peek_tokens_with_location::<2>();
    match (word(&first).as_str(), word(&second).as_str()) {
        ("WATERMARK", "FOR") => parse_watermark(parser, dialect, table, &first),
        ("PRIMARY", "KEY") => {
            parser.next_token();
            parse_primary_key(parser, table, &first)
        }
        ("CONSTRAINT", _) if word(&second) != "AS" && second.token != Token::Comma => {
            parser.next_token();
            parse_identifier(parser, "the constraint's name")?;
            let token = parser.next_token();
            match word(&token).as_str() {
                "PRIMARY" => parse_primary_key(parser, table, &token),
                _ => Err(found(&token, "PRIMARY KEY")),
            }
        }
        ("UNIQUE", _) if second.token == Token::LParen => {
            Err(Fault::unsupported(first.span, "`UNIQUE` is"))
        }
        _ => {
            let column = parse_column(parser, dialect, table)?;
            let name = &column.name;
            if table.columns.iter().any(|c| c.name.value == name.value) {
                let message = format!("column `{}` is there twice", name.value);
                return Err(Fault::at(name.span, message));
            }
            table.columns.push(column);
            Ok(())
        }
    }
}

fn parse_column(
    parser: &mut Parser,
    dialect: &FlinkDialect,
    table: &mut CreateTable,
) -> Result<Column> {
    let name = parse_identifier(parser, "a column, WATERMARK FOR or PRIMARY KEY")?;
    let kind = if parser.parse_keyword(Keyword::AS) {
        ColumnKind::Computed(Box::new(parse_expr(parser, dialect)?))
    } else {
        let data_type = parse_type(parser)?;
        if word(&parser.peek_token()) == "METADATA" {
            parser.next_token();
            parse_metadata(parser, data_type)?
        } else {
            ColumnKind::Physical(data_type)
        }
    };
    let token = parser.peek_token();
    match word(&token).as_str() {
        "PRIMARY" => {
            parser.next_token();
            expect_word(parser, Keyword::KEY)?;
            expect_not_enforced(parser, &token)?;
            set_primary_key(table, vec![name.clone()], &token)?;
        }
        "DEFAULT" => return Err(Fault::unsupported(token.span, "`DEFAULT` is")),
        _ => {}
    }
    parse_comment(parser)?;
    Ok(Column { name, kind })
}

fn parse_metadata(
    parser: &mut Parser,
    data_type: arrow::datatypes::DataType,
) -> Result<ColumnKind> {
    let key = match parser.parse_keyword(Keyword::FROM) {
        true => Some(parse_string(parser, "a metadata key in single quotes")?),
        false => None,
    };
    let is_virtual = parser.parse_keyword(Keyword::VIRTUAL);
    Ok(ColumnKind::Metadata {
        data_type,
        key,
        is_virtual,
    })
}

fn parse_watermark(
    parser: &mut Parser,
    dialect: &FlinkDialect,
    table: &mut CreateTable,
    first: &TokenWithSpan,
) -> Result<()> {
    if table.watermark.is_some() {
        return Err(Fault::at(first.span, "a second WATERMARK, expected one"));
    }
    parser.next_token();
    parser.next_token();
    let column = parse_identifier(parser, "the event-time column")?;
    let token = parser.peek_token();
    if token.token == Token::Period {
        return Err(Fault::unsupported(
            column.span,
            "a WATERMARK for a field of a ROW is",
        ));
    }
    expect_word(parser, Keyword::AS)?;
    let expr = parse_expr(parser, dialect)?;
    table.watermark = Some(WatermarkClause { column, expr });
    Ok(())
}

fn parse_primary_key(
    parser: &mut Parser,
    table: &mut CreateTable,
    first: &TokenWithSpan,
) -> Result<()> {
    expect_word(parser, Keyword::KEY)?;
    let columns = parse_names(parser)?;
    if columns.is_empty() {
        let token = parser.peek_token();
        return Err(found(&token, "`(` and the columns of the key"));
    }
    expect_not_enforced(parser, first)?;
    set_primary_key(table, columns, first)
}

fn expect_not_enforced(parser: &mut Parser, first: &TokenWithSpan) -> Result<()> {
    if parser.parse_keywords(&[Keyword::NOT, Keyword::ENFORCED]) {
        return Ok(());
    }
    let fault = Fault::at(first.span, "PRIMARY KEY without NOT ENFORCED");
    Err(fault.help("write PRIMARY KEY (…) NOT ENFORCED: the rows are not checked"))
}

fn set_primary_key(
    table: &mut CreateTable,
    columns: Vec<sqlparser::ast::Ident>,
    first: &TokenWithSpan,
) -> Result<()> {
    if !table.primary_key.is_empty() {
        return Err(Fault::at(first.span, "a second PRIMARY KEY, expected one"));
    }
    table.primary_key = columns;
    Ok(())
}

fn parse_expr(parser: &mut Parser, dialect: &FlinkDialect) -> Result<sqlparser::ast::Expr> {
    let place = parser.peek_token_ref().span.start;
    parser
        .parse_expr()
        .map_err(|error| crate::parser::from_expr(dialect, error, place))
}
