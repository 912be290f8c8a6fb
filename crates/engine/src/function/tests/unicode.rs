//! Functions on texts of any characters: they count characters, not bytes, and never panic. The texts are
//! random, from a fixed seed; plain loops over characters say what is expected.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int32Type;
use datafusion::logical_expr::ColumnarValue;

use super::run;

/// Characters of one to four bytes, marks that combine, a byte order mark, quotes, blanks.
const CHARACTERS: &[char] = &[
    'a',
    'B',
    '7',
    ' ',
    '%',
    '_',
    '\\',
    '"',
    '/',
    '+',
    '\0',
    '\n',
    'é',
    'ß',
    'İ',
    '\u{301}',
    '中',
    '文',
    '\u{feff}',
    '😀',
    '𐐀',
    '\u{10ffff}',
];
const SEED: u64 = 20_250_615;
const ROUNDS: usize = 400;

/// The generator of Knuth's MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn text(&mut self, longest: usize) -> String {
        let length = self.below(longest + 1);
        (0..length)
            .map(|_| CHARACTERS[self.below(CHARACTERS.len())])
            .collect()
    }

    fn number(&mut self) -> i64 {
        const NUMBERS: &[i64] = &[i64::MIN, -9, -2, -1, 0, 1, 2, 3, 5, 8, 40, i64::MAX];
        NUMBERS[self.below(NUMBERS.len())]
    }
}

fn texts(value: &str) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(StringArray::from(vec![value; 3])))
}

fn longs(value: i64) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(Int64Array::from(vec![value; 3])))
}

fn text_of(name: &str, args: &[ColumnarValue]) -> Option<String> {
    let array = run(name, args).unwrap();
    let array = array.as_string::<i32>();
    array.is_valid(0).then(|| array.value(0).to_owned())
}

fn int_of(name: &str, args: &[ColumnarValue]) -> Option<i32> {
    let array = run(name, args).unwrap();
    let array = array.as_primitive::<Int32Type>();
    array.is_valid(0).then(|| array.value(0))
}

#[test]
fn positions_and_lengths_count_characters() {
    let mut random = Random(SEED);
    for _ in 0..ROUNDS {
        let (text, part, n, m) = (
            random.text(12),
            random.text(2),
            random.number(),
            random.number(),
        );
        let (all, of_part): (Vec<char>, Vec<char>) =
            (text.chars().collect(), part.chars().collect());
        let one = [texts(&text)];
        let with = [texts(&text), longs(n)];
        let told = format!("{text:?} {part:?} {n} {m}");

        assert_eq!(
            int_of("CHAR_LENGTH", &one),
            i32::try_from(all.len()).ok(),
            "{told}"
        );
        let reversed: String = all.iter().rev().collect();
        assert_eq!(text_of("REVERSE", &one), Some(reversed), "{told}");
        let count = usize::try_from(n).unwrap_or(0).min(all.len());
        let left: String = all[..count].iter().collect();
        let right: String = all[all.len() - count..].iter().collect();
        assert_eq!(text_of("LEFT", &with), Some(left), "{told}");
        assert_eq!(text_of("RIGHT", &with), Some(right), "{told}");

        let from = match n {
            0 => Some(0),
            1.. => Some(usize::try_from(n - 1).unwrap_or(usize::MAX)),
            _ => usize::try_from(n.unsigned_abs())
                .ok()
                .and_then(|n| all.len().checked_sub(n)),
        };
        let rest = from.map_or(&[][..], |from| all.get(from..).unwrap_or_default());
        let expected = usize::try_from(m)
            .ok()
            .map(|m| rest.iter().take(m).collect::<String>());
        let args = [texts(&text), longs(n), longs(m)];
        assert_eq!(text_of("SUBSTRING", &args), expected, "{told}");

        let found = match of_part.len() {
            0 => Some(0),
            length => all.windows(length).position(|at| *at == of_part),
        };
        let found = found.map_or(0, |at| i32::try_from(at + 1).unwrap());
        let args = [texts(&part), texts(&text)];
        assert_eq!(int_of("LOCATE", &args), Some(found), "{told}");

        let expected = match (usize::try_from(n), of_part.is_empty()) {
            (Ok(n), false) if n <= 1_000 => {
                let fill = of_part.iter().cycle().take(n.saturating_sub(all.len()));
                Some(fill.chain(&all).take(n).collect::<String>())
            }
            _ => continue,
        };
        // A text that is too long is cut at its end.
        let cut = usize::try_from(n).is_ok_and(|n| n < all.len());
        let expected = match cut {
            true => Some(all[..usize::try_from(n).unwrap()].iter().collect()),
            false => expected,
        };
        let args = [texts(&text), longs(n), texts(&part)];
        assert_eq!(text_of("LPAD", &args), expected, "{told}");
    }
}

#[test]
fn what_was_written_is_read_again() {
    let mut random = Random(SEED + 1);
    for _ in 0..ROUNDS {
        let text = random.text(12);
        let back = |there: &str, back: &str| {
            let written = text_of(there, &[texts(&text)]).unwrap();
            assert_eq!(
                text_of(back, &[texts(&written)]).as_ref(),
                Some(&text),
                "{there} {text:?}"
            );
        };
        back("TO_BASE64", "FROM_BASE64");
        back("URL_ENCODE", "URL_DECODE");
        back("REVERSE", "REVERSE");
        // Control characters stay as they are in JSON_QUOTE, and then are no JSON.
        if !text.contains('\0') {
            back("JSON_QUOTE", "JSON_UNQUOTE");
        }
        let quoted = text_of("JSON_STRING", &[texts(&text)]).unwrap();
        let path = [texts(&quoted), constant("$")];
        assert_eq!(
            text_of("JSON_VALUE", &path).as_ref(),
            Some(&text),
            "{text:?}"
        );
    }
}

fn constant(value: &str) -> ColumnarValue {
    ColumnarValue::Scalar(super::ScalarValue::Utf8(Some(value.to_owned())))
}

/// Each function of texts and numbers with whatever comes: none may panic.
#[test]
fn nothing_panics() {
    use super::super::definition::Kind;
    let mut random = Random(SEED + 2);
    // The length of what it makes is a number that comes in.
    let long = ["REPEAT", "LPAD", "RPAD"];
    for function in super::super::FUNCTIONS.iter() {
        let kinds = function.params.kinds;
        let simple = |kind: &Kind| matches!(kind, Kind::Text | Kind::Long);
        if !kinds.iter().all(simple) || long.contains(&function.name) {
            continue;
        }
        let most = function.params.most.min(function.params.least + 2).max(1);
        for _ in 0..40 {
            let count = function.params.least + random.below(most - function.params.least + 1);
            let args: Vec<ColumnarValue> = (0..count)
                .map(|index| match kinds[index.min(kinds.len() - 1)] {
                    Kind::Text => texts(&random.text(12)),
                    _ => longs(random.number()),
                })
                .collect();
            let _any: Option<ArrayRef> = run(function.name, &args).ok();
        }
    }
}
