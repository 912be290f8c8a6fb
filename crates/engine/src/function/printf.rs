//! `PRINTF(format, value…)`: Java's `Formatter` in the locale US ([`Format`]).
//!
//! A row whose format is wrong, or does not fit the values, gives null. Digits of doubles are those of
//! their shortest text, rounded half up, as in Java.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use millstream_core::Result;
use millstream_core::pattern::printf::{Conversion, Format, Piece, Spec};

use super::args::{Kernel, build_texts};
use super::definition::{Body, Call, ConstantText, Function, Kind, Params, Returns};

/// The functions of this module.
pub(super) fn functions() -> Vec<Function> {
    vec![Function {
        name: "PRINTF",
        params: Params {
            kinds: &[Kind::Text, Kind::Any],
            least: 1,
            most: usize::MAX,
        },
        returns: Returns::Text,
        body: Body::Prepared(printf),
    }]
}

fn printf(call: &Call<'_>) -> Result<Kernel> {
    let constant = match call.text(0) {
        ConstantText::Is(format) => Some(Format::parse(&format)?),
        ConstantText::Null | ConstantText::Varies => None,
    };
    Ok(Arc::new(move |args| {
        let formats = args.texts(0)?;
        let values = (1..args.len()).map(|index| args.full_array(index));
        let values = values.collect::<Result<Vec<_>>>()?;
        let types: Vec<DataType> = values.iter().map(|it| it.data_type().clone()).collect();
        let columns = values.iter().map(Column::new);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        if let Some(format) = &constant {
            format.check(&types)?;
        }
        Ok(build_texts(args.rows, |row, out| {
            let text = formats.get(row)?;
            if let Some(format) = &constant {
                write(format, &columns, row, out);
                return Some(());
            }
            let format = Format::parse(text).ok()?;
            format.check(&types).ok()?;
            write(&format, &columns, row, out);
            Some(())
        }))
    }))
}

fn write(format: &Format, columns: &[Column<'_>], row: usize, out: &mut String) {
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Argument(index, spec) => {
                let from = out.len();
                columns[*index].write(row, spec, out);
                if spec.upper {
                    let upper = out[from..].to_uppercase();
                    out.truncate(from);
                    out.push_str(&upper);
                }
            }
        }
    }
}

/// The values of one argument.
enum Column<'a> {
    Boolean(BooleanArray),
    /// With the bits of the type.
    Long(Int64Array, u32),
    Double(Float64Array, Texts<'a>),
    Other(&'a ArrayRef, Texts<'a>),
}

/// Writes a value as CAST does.
type Texts<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        let bits = match array.data_type() {
            DataType::Int8 => 8,
            DataType::Int16 => 16,
            DataType::Int32 => 32,
            _ => 64,
        };
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            DataType::Float32 | DataType::Float64 => {
                let doubles = cast(array, &DataType::Float64)?;
                let doubles = doubles.as_primitive::<Float64Type>().clone();
                Self::Double(doubles, crate::expr::text_writer(array)?)
            }
            found if found.is_signed_integer() => {
                let longs = cast(array, &DataType::Int64)?;
                Self::Long(longs.as_primitive::<Int64Type>().clone(), bits)
            }
            DataType::Null => Self::Other(array, Box::new(|_, _| {})),
            _ => Self::Other(array, crate::expr::text_writer(array)?),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(values) => values.is_null(row),
            Self::Long(values, _) => values.is_null(row),
            Self::Double(values, _) => values.is_null(row),
            Self::Other(array, _) => array.is_null(row) || array.data_type().is_null(),
        }
    }

    /// Writes the value; which conversions there can be is checked before.
    fn write(&self, row: usize, spec: &Spec, out: &mut String) {
        if self.is_null(row) {
            let is_boolean = spec.conversion == Conversion::Boolean;
            let text = if is_boolean { "false" } else { "null" };
            return write_text(text, spec, out);
        }
        match (spec.conversion, self) {
            (_, Self::Boolean(values)) => {
                let text = if values.value(row) { "true" } else { "false" };
                write_text(text, spec, out);
            }
            (Conversion::Boolean, _) => write_text("true", spec, out),
            (Conversion::Text, Self::Long(values, _)) => {
                write_text(&values.value(row).to_string(), spec, out);
            }
            (_, Self::Long(values, bits)) => write_long(values.value(row), *bits, spec, out),
            (Conversion::Text, Self::Double(_, write)) | (_, Self::Other(_, write)) => {
                let mut text = String::new();
                write(row, &mut text);
                write_text(&text, spec, out);
            }
            (_, Self::Double(values, _)) => write_double(values.value(row), spec, out),
        }
    }
}

/// Pads to the width.
fn write_text(text: &str, spec: &Spec, out: &mut String) {
    let end = spec
        .precision
        .and_then(|most| text.char_indices().nth(most));
    let text = end.map_or(text, |(end, _)| &text[..end]);
    let missing = spec.width.saturating_sub(text.chars().count());
    let padding = " ".repeat(missing);
    match spec.has('-') {
        true => out.extend([text, &padding]),
        false => out.extend([padding.as_str(), text]),
    }
}

fn write_long(value: i64, bits: u32, spec: &Spec, out: &mut String) {
    let unsigned = u64::from_ne_bytes(value.to_ne_bytes()) & (u64::MAX >> (64 - bits));
    let alternate = |prefix| if spec.has('#') { prefix } else { "" };
    match spec.conversion {
        Conversion::Character => {
            let code = u32::try_from(value).ok().and_then(char::from_u32);
            let text = code.map_or(String::new(), String::from);
            write_text(&text, spec, out);
        }
        Conversion::Octal => fill((alternate("0"), ""), &format!("{unsigned:o}"), spec, out),
        Conversion::Hex => fill((alternate("0x"), ""), &format!("{unsigned:x}"), spec, out),
        _ => {
            let digits = grouped(value.unsigned_abs().to_string(), spec);
            fill(signs(value < 0, spec), &digits, spec, out);
        }
    }
}

fn write_double(value: f64, spec: &Spec, out: &mut String) {
    let spec_of_text = Spec {
        precision: None,
        ..spec.clone()
    };
    if value.is_nan() {
        return write_text("NaN", &spec_of_text, out);
    }
    let signs = signs(value.is_sign_negative(), spec);
    if value.is_infinite() {
        let text = format!("{}Infinity{}", signs.0, signs.1);
        return write_text(&text, &spec_of_text, out);
    }
    let digits = Digits::of(value.abs());
    let precision = spec.precision.unwrap_or(6);
    let text = match spec.conversion {
        Conversion::Scientific => digits.scientific(precision, spec),
        Conversion::General => {
            let significant = precision.max(1);
            let rounded = digits.rounded(to_i32(significant));
            // The exponent of the value as `d.ddd * 10^exponent`.
            let exponent = if rounded.is_zero() {
                0
            } else {
                rounded.point - 1
            };
            match usize::try_from(to_i32(significant) - 1 - exponent) {
                Ok(decimals) if exponent >= -4 => rounded.fixed(decimals, spec),
                _ => rounded.scientific(significant - 1, spec),
            }
        }
        _ => digits.fixed(precision, spec),
    };
    fill(signs, &text, spec, out);
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).expect("widths and precisions are bounded")
}

/// What stands before and after a number.
fn signs(is_negative: bool, spec: &Spec) -> (&'static str, &'static str) {
    match is_negative {
        true if spec.has('(') => ("(", ")"),
        true => ("-", ""),
        false if spec.has('+') => ("+", ""),
        false if spec.has(' ') => (" ", ""),
        false => ("", ""),
    }
}

/// Digits with a comma after each three, if that is asked for.
fn grouped(digits: String, spec: &Spec) -> String {
    if !spec.has(',') {
        return digits;
    }
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes a number, filled up to the width.
fn fill((before, after): (&str, &str), digits: &str, spec: &Spec, out: &mut String) {
    let missing = spec
        .width
        .saturating_sub(before.len() + digits.len() + after.len());
    let filling = if spec.has('0') { "0" } else { " " }.repeat(missing);
    match (spec.has('-'), spec.has('0')) {
        (true, _) => out.extend([before, digits, after, &filling]),
        (_, true) => out.extend([before, &filling, digits, after]),
        _ => out.extend([&filling, before, digits, after]),
    }
}

/// A number as `0.ddd * 10^point`; no digits for zero.
struct Digits {
    digits: Vec<u8>,
    point: i32,
}

impl Digits {
    /// Of a positive number or zero.
    fn of(value: f64) -> Self {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').expect("`e` is always written");
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_digit).collect();
        let exponent: i32 = exponent.parse().expect("an exponent is a number");
        let is_zero = digits.iter().all(|digit| *digit == b'0');
        Self {
            digits: if is_zero { vec![] } else { digits },
            point: if is_zero { 1 } else { exponent + 1 },
        }
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// With the first `count` digits, the last of which is rounded half up.
    fn rounded(&self, count: i32) -> Self {
        let (mut digits, mut point) = (self.digits.clone(), self.point);
        let count = usize::try_from(count);
        let up = match count {
            Ok(count) => digits.get(count).is_some_and(|digit| *digit >= b'5'),
            Err(_) => false,
        };
        digits.truncate(count.unwrap_or(0));
        if up {
            while digits.pop_if(|digit| *digit == b'9').is_some() {}
            match digits.last_mut() {
                Some(digit) => *digit += 1,
                None => {
                    digits.push(b'1');
                    point += 1;
                }
            }
        }
        Self { digits, point }
    }

    /// The digit at this place, from 0; zero where there is none.
    fn at(&self, place: i32) -> char {
        let digit = usize::try_from(place).ok();
        let digit = digit.and_then(|place| self.digits.get(place));
        digit.map_or('0', |digit| char::from(*digit))
    }

    fn fixed(&self, decimals: usize, spec: &Spec) -> String {
        let rounded = self.rounded(self.point + to_i32(decimals));
        let whole: String = (0..rounded.point).map(|place| rounded.at(place)).collect();
        let whole = if rounded.is_zero() || whole.is_empty() {
            "0".to_owned()
        } else {
            whole
        };
        let first = if rounded.is_zero() { 0 } else { rounded.point };
        let fraction = (first..first + to_i32(decimals)).map(|place| rounded.at(place));
        let fraction: String = fraction.collect();
        join(grouped(whole, spec), &fraction, spec)
    }

    fn scientific(&self, decimals: usize, spec: &Spec) -> String {
        let rounded = self.rounded(to_i32(decimals) + 1);
        let fraction: String = (1..=to_i32(decimals))
            .map(|place| rounded.at(place))
            .collect();
        let exponent = if rounded.is_zero() {
            0
        } else {
            rounded.point - 1
        };
        let mut text = join(rounded.at(0).to_string(), &fraction, spec);
        let sign = if exponent < 0 { '-' } else { '+' };
        text.push_str(&format!("e{sign}{:02}", exponent.abs()));
        text
    }
}

fn join(whole: String, fraction: &str, spec: &Spec) -> String {
    match fraction {
        "" if spec.has('#') => whole + ".",
        "" => whole,
        _ => whole + "." + fraction,
    }
}
