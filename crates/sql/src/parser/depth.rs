//! How deep a script may go. The parser, the binder and the engine recurse into expressions and
//! subqueries, so what would be too deep for a stack is refused here, from the tokens alone, before
//! anything recurses.
//!
//! Two things are counted, each never too low:
//!
//! - *nesting*: brackets, CASE, types within types, and the NOTs and signs before an operand;
//! - *length*: operators in a row, as `1 + 1 + 1` is a tree as deep as it is long. AND, OR and `||`
//!   do not count, as the dialect makes [balanced trees](crate::dialect) of them.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::diagnostic::{Fault, Result};

/// Most brackets and the like within each other.
pub(crate) const NESTING_MAX: usize = 32;
/// Most operators in a row, those around the brackets that they are in included.
pub(crate) const LENGTH_MAX: usize = 200;

/// Refuses a script that goes too deep.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let code = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let mut tokens = tokens.iter().filter(code).peekable();
    let mut depth = Depth {
        levels: vec![Level::new(Opener::Script)],
        after_operand: false,
        nesting: 0,
        length: 0,
    };
    while let Some(token) = tokens.next() {
        let next = tokens.peek().map(|next| &next.token);
        depth.add(&token.token, next);
        let (found, most, what) = if depth.nesting > NESTING_MAX {
            (
                depth.nesting,
                NESTING_MAX,
                "levels of parentheses, CASE, NOT or signs",
            )
        } else if depth.length > LENGTH_MAX {
            (
                depth.length,
                LENGTH_MAX,
                "operators that build on each other",
            )
        } else {
            continue;
        };
        let message = format!("nested too deeply: found {found} {what}, expected at most {most}");
        let fault = Fault::at(token.span, message);
        return Err(fault.help("views cut a query into parts; AND, OR and `||` may be any number"));
    }
    Ok(())
}

/// What a level began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Script,
    Bracket,
    Case,
    Type,
}

/// What is open.
struct Level {
    opener: Opener,
    /// NOTs since the last AND, OR or comma.
    nots: usize,
    /// Signs before the operand that is being read.
    signs: usize,
    /// Operators since the last AND, OR or comma.
    operators: usize,
    /// UNIONs and joins in this query.
    inputs: usize,
    /// BETWEENs whose AND has not come.
    betweens: usize,
}

impl Level {
    fn new(opener: Opener) -> Self {
        Self {
            opener,
            nots: 0,
            signs: 0,
            operators: 0,
            inputs: 0,
            betweens: 0,
        }
    }

    fn nesting(&self) -> usize {
        usize::from(self.opener != Opener::Script) + self.nots + self.signs
    }

    fn length(&self) -> usize {
        self.operators + self.inputs
    }
}

struct Depth {
    levels: Vec<Level>,
    /// Whether an operator can follow; else a sign or an operand.
    after_operand: bool,
    /// Sum over all levels.
    nesting: usize,
    /// Sum over all levels.
    length: usize,
}

impl Depth {
    /// Changes the innermost level.
    fn change(&mut self, change: impl FnOnce(&mut Level)) {
        let level = self.levels.last_mut().expect("the script is always open");
        let (nesting, length) = (level.nesting(), level.length());
        change(level);
        self.nesting = self.nesting - nesting + level.nesting();
        self.length = self.length - length + level.length();
    }

    fn open(&mut self, opener: Opener) {
        self.levels.push(Level::new(opener));
        self.nesting += 1;
        self.after_operand = false;
    }

    /// Closes the innermost `opener`, and what was left open in it. If there is none, the parser
    /// will say so.
    fn close(&mut self, opener: Opener) {
        if let Some(at) = self.levels.iter().rposition(|level| level.opener == opener) {
            for level in self.levels.drain(at..) {
                self.nesting -= level.nesting();
                self.length -= level.length();
            }
        }
        self.operand();
    }

    fn operand(&mut self) {
        self.change(|level| level.signs = 0);
        self.after_operand = true;
    }

    fn operator(&mut self) {
        self.change(|level| level.operators += 1);
        self.after_operand = false;
    }

    /// What comes is not part of the expression before it.
    fn separate(&mut self) {
        self.change(|level| {
            (level.nots, level.signs, level.operators, level.betweens) = (0, 0, 0, 0);
        });
        self.after_operand = false;
    }

    fn add(&mut self, token: &Token, next: Option<&Token>) {
        let innermost = self.levels.last().map(|level| level.opener);
        match token {
            Token::LParen | Token::LBrace => self.open(Opener::Bracket),
            Token::LBracket => {
                // `a[1][2]`: the second is around the first.
                self.operator();
                self.open(Opener::Bracket);
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.close(Opener::Bracket),
            Token::Gt if innermost == Some(Opener::Type) => self.close(Opener::Type),
            Token::Lt if innermost == Some(Opener::Type) && !self.after_operand => {}
            Token::Comma => self.separate(),
            Token::SemiColon => {
                self.separate();
                self.change(|level| level.inputs = 0);
            }
            Token::Word(word) if word.quote_style.is_none() => {
                self.add_word(word.keyword, &word.value, next);
            }
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) => self.operand(),
            Token::EOF => {}
            Token::StringConcat => self.after_operand = false,
            _ if self.after_operand => self.operator(),
            // A sign, or `*` for all columns.
            _ => self.change(|level| level.signs += 1),
        }
    }

    fn add_word(&mut self, keyword: Keyword, word: &str, next: Option<&Token>) {
        const TYPES: [&str; 5] = ["ARRAY", "MAP", "ROW", "MULTISET", "STRUCT"];
        let is_type = |known: &&str| word.eq_ignore_ascii_case(known);
        match keyword {
            _ if next == Some(&Token::Lt) && TYPES.iter().any(is_type) => {
                self.open(Opener::Type);
            }
            Keyword::CASE => self.open(Opener::Case),
            Keyword::END if self.levels.iter().any(|level| level.opener == Opener::Case) => {
                self.close(Opener::Case);
            }
            Keyword::NOT if !self.after_operand => self.change(|level| level.nots += 1),
            Keyword::INTERVAL if !self.after_operand => self.change(|level| level.signs += 1),
            Keyword::AND if self.levels.last().is_some_and(|level| level.betweens > 0) => {
                self.change(|level| level.betweens -= 1);
                self.after_operand = false;
            }
            // Where an operand stands, a word is one: `1 + from` reads a column called `from`.
            _ if !self.after_operand => self.operand(),
            Keyword::BETWEEN => {
                self.change(|level| level.betweens += 1);
                self.operator();
            }
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => self.input(),
            Keyword::JOIN => self.input(),
            Keyword::AND | Keyword::OR => self.separate(),
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE => self.separate(),
            Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::GROUP => self.separate(),
            Keyword::HAVING | Keyword::ON | Keyword::AS => self.separate(),
            Keyword::NoKeyword => self.operand(),
            // `IS NOT NULL`, `NOT LIKE`: the other word counts.
            Keyword::NOT | Keyword::NULL | Keyword::TRUE | Keyword::FALSE | Keyword::UNKNOWN => {}
            // IS, LIKE, IN, ARRAY after a type, and others that may be operators.
            _ => self.change(|level| level.operators += 1),
        }
    }

    fn input(&mut self) {
        self.separate();
        self.change(|level| level.inputs += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::FlinkDialect;

    fn faults(text: &str) -> Option<String> {
        let tokens = crate::parser::tokenize(text, &FlinkDialect::default());
        let tokens = tokens.expect("the text has tokens");
        check(&tokens).err().map(|fault| fault.message)
    }

    /// `count` of them are fine and one more is not.
    #[track_caller]
    fn check_most(count: usize, text: impl Fn(usize) -> String) {
        assert_eq!(faults(&text(count)), None, "{}", text(2));
        let message = faults(&text(count + 1)).expect("one too many");
        assert!(
            message.starts_with("nested too deeply: found "),
            "{message}"
        );
        assert!(faults(&text(5_000)).is_some(), "{}", text(2));
    }

    #[test]
    fn what_nests_is_limited() {
        let around = |open: &str, inner: &str, close: &str| {
            let (open, inner, close) = (open.to_owned(), inner.to_owned(), close.to_owned());
            move |count| format!("{}{inner}{}", open.repeat(count), close.repeat(count))
        };
        check_most(NESTING_MAX, around("(", "a", ")"));
        check_most(NESTING_MAX, around("ABS(", "a", ")"));
        check_most(NESTING_MAX, around("CAST(", "a", " AS INT)"));
        check_most(NESTING_MAX, around("CASE WHEN a THEN ", "a", " ELSE b END"));
        check_most(NESTING_MAX, around("CASE WHEN a THEN b ELSE ", "a", " END"));
        check_most(NESTING_MAX, around("NOT ", "a", ""));
        check_most(NESTING_MAX, around("NOT a = ", "a", ""));
        check_most(NESTING_MAX / 2, around("NOT (", "a", ")"));
        check_most(NESTING_MAX, around("- ", "a", ""));
        check_most(NESTING_MAX, around("INTERVAL ", "'1'", ""));
        check_most(NESTING_MAX, around("SELECT a FROM (", "b", ")"));
        check_most(NESTING_MAX, around("ARRAY<", "INT", ">"));
        check_most(NESTING_MAX, around("ROW<x ", "INT", ">"));
        check_most(NESTING_MAX / 2, around("MAP<INT, ROW<x ", "INT", ">>"));
    }

    #[test]
    fn operators_in_a_row_are_limited() {
        let chain = |operator: &str| {
            let operator = operator.to_owned();
            move |count| format!("SELECT a{} FROM t", operator.repeat(count))
        };
        check_most(LENGTH_MAX, chain(" + 1"));
        check_most(LENGTH_MAX, chain(" + from"));
        check_most(LENGTH_MAX - 1, chain(" * (1 - 2)"));
        check_most(LENGTH_MAX, chain(" = b"));
        check_most(LENGTH_MAX, chain(" IS TRUE"));
        check_most(LENGTH_MAX, chain(" BETWEEN 1 AND 2"));
        check_most(LENGTH_MAX, chain(".b"));
        check_most(LENGTH_MAX, chain("[1]"));
        check_most(LENGTH_MAX, chain(" LIKE b"));
        check_most(LENGTH_MAX, |count| {
            format!(
                "SELECT a FROM t{}",
                " UNION ALL SELECT a FROM t".repeat(count)
            )
        });
        check_most(LENGTH_MAX - 1, |count| {
            format!("SELECT a FROM t{}", " JOIN t ON a = b".repeat(count))
        });
        check_most(LENGTH_MAX - 1, |count| {
            format!("a INT{}", " ARRAY".repeat(count))
        });
    }

    #[test]
    fn what_is_flat_is_not() {
        for part in [
            "a = 1 OR NOT b < -2 AND ",
            "a - -b, ",
            "a || b || ",
            "a BETWEEN 1 AND 2 OR NOT c IN (1, 2) AND ",
            "CASE WHEN a = 1 THEN b + 1 ELSE c END, ",
            "SELECT a + 1 AS b FROM t WHERE b > 2 GROUP BY a HAVING c > 1; ",
            "SELECT * FROM t; ",
            "ARRAY<INT>, MAP<INT, ROW<x INT>>, ",
            "EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT a UNION SELECT b; END; ",
        ] {
            assert_eq!(faults(&part.repeat(1_000)), None, "{part}");
        }
    }
}
