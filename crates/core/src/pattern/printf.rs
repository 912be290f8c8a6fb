//! Formats of PRINTF: those of Java's `java.util.Formatter` in the locale US, without `%a`, `%h` and `%t`.
//!
//! `%[index$][flags][width][.precision]conversion`, `%n`, `%%`. The same argument as before is `%<s`.

use arrow::datatypes::DataType;

use crate::types::sql_name;
use crate::{Error, Result};

/// Greatest width and precision; more would only fill memory.
pub const WIDTH_MAX: usize = 1_000;

/// A format as its pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// In order.
    pub pieces: Vec<Piece>,
}

/// A part of a [`Format`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself.
    Text(String),
    /// An argument, from 0, and how it is written.
    Argument(usize, Spec),
}

/// How an argument is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What the argument is.
    pub conversion: Conversion,
    /// Whether letters are written large.
    pub upper: bool,
    /// Some of `-#+ 0,(`.
    pub flags: String,
    /// Fewest characters.
    pub width: usize,
    /// Digits after the point; of text, most characters.
    pub precision: Option<usize>,
}

/// The letter of a [`Spec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// `%b`
    Boolean,
    /// `%s`
    Text,
    /// `%c`
    Character,
    /// `%d`
    Decimal,
    /// `%o`
    Octal,
    /// `%x`
    Hex,
    /// `%f`
    Fixed,
    /// `%e`
    Scientific,
    /// `%g`
    General,
}

impl Spec {
    /// Whether it has the flag.
    pub fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// Whether an argument of the type can be written so. Null can be written in any way.
    pub fn takes(&self, data_type: &DataType) -> bool {
        use Conversion as C;
        let is_integer = data_type.is_signed_integer();
        match self.conversion {
            _ if data_type.is_null() => true,
            C::Boolean | C::Text => {
                let is_number = data_type.is_numeric();
                is_number || matches!(data_type, DataType::Utf8 | DataType::Boolean)
            }
            C::Character => is_integer && *data_type != DataType::Int64,
            C::Decimal | C::Octal | C::Hex => is_integer,
            C::Fixed | C::Scientific | C::General => data_type.is_floating(),
        }
    }
}

impl Format {
    /// Reads `text`.
    ///
    /// # Errors
    /// It is no format, or has something that is not supported.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader {
            rest: text,
            next: 0,
            last: None,
            pieces: vec![],
        };
        while let Some(at) = reader.rest.find('%') {
            let (before, after) = reader.rest.split_at(at);
            reader.push(before);
            reader.rest = &after[1..];
            reader.piece().map_err(|why| {
                let length = after.len() - reader.rest.len();
                let found = after.get(..length).unwrap_or(after);
                Error::invalid(format!("format `{text}`: `{found}` {why}"))
            })?;
        }
        let rest = reader.rest;
        reader.push(rest);
        Ok(Self {
            pieces: reader.pieces,
        })
    }

    /// Fails unless arguments of these types can be written.
    ///
    /// # Errors
    /// An argument is missing, or is of a wrong type.
    pub fn check(&self, arguments: &[DataType]) -> Result<()> {
        for piece in &self.pieces {
            let Piece::Argument(index, spec) = piece else {
                continue;
            };
            let Some(found) = arguments.get(*index) else {
                let expected = index + 1;
                return Err(Error::invalid(format!(
                    "the format has {expected} arguments, found {}",
                    arguments.len()
                )));
            };
            if !spec.takes(found) {
                let found = sql_name(found);
                let expected = match spec.conversion {
                    Conversion::Boolean | Conversion::Text => "STRING, a number or BOOLEAN",
                    Conversion::Character => "INT",
                    Conversion::Decimal | Conversion::Octal | Conversion::Hex => "BIGINT",
                    _ => "DOUBLE",
                };
                let number = index + 1;
                return Err(Error::invalid(format!(
                    "argument {number} of the format: found {found}, expected {expected}"
                )));
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// The argument that `%s` means.
    next: usize,
    /// The argument that `%<s` means.
    last: Option<usize>,
    pieces: Vec<Piece>,
}

type Read<T> = std::result::Result<T, &'static str>;

impl Reader<'_> {
    fn push(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn digits(&mut self) -> Read<Option<usize>> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match digits.parse() {
            _ if digits.is_empty() => Ok(None),
            Ok(number) if number <= WIDTH_MAX => Ok(Some(number)),
            _ => Err("has a number that is too large"),
        }
    }

    /// Reads what follows `%`.
    fn piece(&mut self) -> Read<()> {
        let index = self.index()?;
        let end = self.rest.find(|c: char| !"-#+ 0,(".contains(c));
        let (flags, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let flags = flags.to_owned();
        self.rest = rest;
        let width = self.digits()?;
        let precision = match self.rest.strip_prefix('.') {
            None => None,
            Some(rest) => {
                self.rest = rest;
                Some(self.digits()?.ok_or("has no digits after the point")?)
            }
        };
        let letter = self.rest.chars().next().ok_or("has no conversion")?;
        self.rest = &self.rest[letter.len_utf8()..];
        let conversion = match letter {
            'n' | '%' if precision.is_some() => return Err("has a precision"),
            'n' if width.is_none() && flags.is_empty() => {
                self.push("\n");
                return Ok(());
            }
            '%' if flags.is_empty() => {
                let padded = format!("{:>width$}", '%', width = width.unwrap_or(0));
                self.push(&padded);
                return Ok(());
            }
            'b' | 'B' => Conversion::Boolean,
            's' | 'S' => Conversion::Text,
            'c' | 'C' => Conversion::Character,
            'd' => Conversion::Decimal,
            'o' => Conversion::Octal,
            'x' | 'X' => Conversion::Hex,
            'f' => Conversion::Fixed,
            'e' | 'E' => Conversion::Scientific,
            'g' | 'G' => Conversion::General,
            _ => return Err("is no conversion that is supported"),
        };
        check_flags(conversion, &flags, (width, precision))?;
        let index = index.unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.last = Some(index);
        let spec = Spec {
            conversion,
            upper: letter.is_ascii_uppercase(),
            flags,
            width: width.unwrap_or(0),
            precision,
        };
        self.pieces.push(Piece::Argument(index, spec));
        Ok(())
    }

    /// `2$` or `<`.
    fn index(&mut self) -> Read<Option<usize>> {
        if let Some(rest) = self.rest.strip_prefix('<') {
            self.rest = rest;
            return self.last.map(Some).ok_or("has no argument before it");
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit());
        let end = end.unwrap_or(self.rest.len());
        if !self.rest[end..].starts_with('$') {
            return Ok(None);
        }
        let number = self.digits()?;
        self.rest = &self.rest[1..];
        let index = number.and_then(|number| number.checked_sub(1));
        index.map(Some).ok_or("has no argument of this number")
    }
}

/// Java's rules of what goes together.
fn check_flags(
    conversion: Conversion,
    flags: &str,
    (width, precision): (Option<usize>, Option<usize>),
) -> Read<()> {
    use Conversion as C;
    let allowed = match conversion {
        C::Boolean | C::Text | C::Character => "-",
        C::Decimal => "-+ 0,(",
        C::Octal | C::Hex => "-#0",
        C::Fixed => "-#+ 0,(",
        C::Scientific => "-#+ 0(",
        C::General => "-+ 0,(",
    };
    let has = |flag: char| flags.contains(flag);
    let twice = flags
        .char_indices()
        .any(|(at, flag)| flags[at + 1..].contains(flag));
    let is_whole = matches!(conversion, C::Character | C::Decimal | C::Octal | C::Hex);
    if !flags.chars().all(|flag| allowed.contains(flag)) || twice {
        return Err("has a flag that it cannot have");
    }
    if (has('-') && has('0')) || (has('+') && has(' ')) {
        return Err("has flags that exclude each other");
    }
    if (has('-') || has('0')) && width.is_none() {
        return Err("has no width");
    }
    match precision {
        Some(_) if is_whole => Err("has a precision"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(format: &str) -> String {
        Format::parse(format).unwrap_err().to_string()
    }

    #[test]
    fn pieces_of_a_format() {
        let format = Format::parse("%s: %2$-5.1f%<f%n%%é").unwrap();
        let indexes = format.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Argument(index, spec) => format!("{index}{:?}", spec.conversion),
        });
        let indexes: Vec<String> = indexes.collect();
        assert_eq!(indexes, ["0Text", ": ", "1Fixed", "1Fixed", "\n%é"]);
    }

    #[test]
    fn wrong_formats_are_refused() {
        assert_eq!(
            told("a %y"),
            "format `a %y`: `%y` is no conversion that is supported"
        );
        assert_eq!(told("%"), "format `%`: `%` has no conversion");
        assert_eq!(told("%-s"), "format `%-s`: `%-s` has no width");
        assert_eq!(told("%.2d"), "format `%.2d`: `%.2d` has a precision");
        assert_eq!(
            told("%#s"),
            "format `%#s`: `%#s` has a flag that it cannot have"
        );
        assert_eq!(
            told("%+ d"),
            "format `%+ d`: `%+ d` has flags that exclude each other"
        );
        assert_eq!(
            told("%99999999999s"),
            "format `%99999999999s`: `%99999999999` has a number that is too large"
        );
        assert_eq!(told("%<s"), "format `%<s`: `%<` has no argument before it");
        assert_eq!(
            told("%0$s"),
            "format `%0$s`: `%0$` has no argument of this number"
        );
        assert_eq!(
            told("%té"),
            "format `%té`: `%t` is no conversion that is supported"
        );
    }

    #[test]
    fn arguments_must_fit() {
        let check = |format: &str, types: &[DataType], expected: &str| {
            let error = Format::parse(format).unwrap().check(types).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(
            "%s %s",
            &[DataType::Utf8],
            "the format has 2 arguments, found 1",
        );
        check(
            "%d",
            &[DataType::Float64],
            "argument 1 of the format: found DOUBLE, expected BIGINT",
        );
        check(
            "%f",
            &[DataType::Decimal128(10, 2)],
            "argument 1 of the format: found DECIMAL(10, 2), expected DOUBLE",
        );
        let all = Format::parse("%s %d %.2f %c %b").unwrap();
        let types = [
            DataType::Decimal128(10, 2),
            DataType::Int16,
            DataType::Float32,
            DataType::Int32,
            DataType::Null,
        ];
        assert!(all.check(&types).is_ok());
    }
}
