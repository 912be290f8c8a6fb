//! The decoder against `serde_json` on made-up and damaged records: the same records are JSON, and
//! the same values come out as a straightforward reading of the parsed tree gives.

use arrow::datatypes::{DataType, SchemaRef};
use millstream_core::types;
use serde_json::{Map, Value, json};

use super::{config, lines, raw, row, schema};
use crate::formats;
use crate::generator::random::SplitMix64;

const RECORDS: usize = 250_000;
const BATCH: usize = 50;

/// Why the model gives no value.
#[derive(Debug, PartialEq)]
enum No {
    /// The column does not take it.
    Refused,
    /// The parsed tree has not enough digits to tell.
    Unknown,
}

/// What column `data_type` makes of `value`.
fn model(value: &Value, data_type: &DataType) -> Result<Value, No> {
    match (data_type, value) {
        (_, Value::Null) => Ok(Value::Null),
        (DataType::Utf8, Value::String(text)) => Ok(json!(text)),
        // Numbers keep their text, which the tree has lost: compared as numbers, see `same`.
        (DataType::Utf8, other) => Ok(json!(other.to_string())),
        (DataType::Boolean, Value::Bool(value)) => Ok(json!(value)),
        (DataType::Boolean, Value::String(text)) => match text.trim().to_ascii_lowercase().as_str()
        {
            "true" => Ok(json!(true)),
            "false" => Ok(json!(false)),
            _ => Err(No::Refused),
        },
        (DataType::Int64, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(json!(integer)),
            (None, Some(float)) if float == 0.0 || float.abs() > 9e15 => Err(No::Unknown),
            (None, Some(float)) if float.fract() == 0.0 => Ok(json!(float as i64)),
            _ => Err(No::Refused),
        },
        (DataType::Float64, Value::Number(number)) => Ok(json!(number.as_f64())),
        (DataType::Int64 | DataType::Float64, Value::String(text)) => {
            let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{c}']);
            let parsed: Value = serde_json::from_str(trimmed).map_err(|_| No::Refused)?;
            if parsed.is_number() {
                model(&parsed, data_type)
            } else {
                Err(No::Refused)
            }
        }
        (DataType::List(item), Value::Array(values)) => values
            .iter()
            .map(|value| model(value, item.data_type()))
            .collect(),
        (DataType::Map(entries, _), Value::Object(object)) => {
            let DataType::Struct(fields) = entries.data_type() else {
                panic!("a map's entries")
            };
            let entry = |(key, value): (&String, &Value)| {
                Ok((key.clone(), model(value, fields[1].data_type())?))
            };
            object
                .iter()
                .map(entry)
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object)
        }
        (DataType::Struct(fields), Value::Object(object)) => {
            let field = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                let value = object.get(field.name()).unwrap_or(&Value::Null);
                Ok((field.name().clone(), model(value, field.data_type())?))
            };
            fields
                .iter()
                .map(field)
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object)
        }
        _ => Err(No::Refused),
    }
}

/// Equal, but for the last bit of doubles (`serde_json` rounds them less exactly) and for the way
/// in which numbers within strings are written.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::String(a), Value::String(b)) => {
            let parse = |text: &str| serde_json::from_str::<Value>(text);
            a == b
                || matches!((parse(a), parse(b)), (Ok(a), Ok(b)) if !a.is_string() && same(&a, &b))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

struct Writer {
    random: SplitMix64,
    out: Vec<u8>,
}

impl Writer {
    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.random.below(choices.len() as u64) as usize]
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        if self.random.below(12) == 0 {
            let space = self.pick(&[" ", "\t", "\n", "\r", "  "]);
            self.out.extend_from_slice(space.as_bytes());
        }
    }

    fn string(&mut self) {
        let mut text = String::from("\"");
        for _ in 0..self.random.below(9) {
            text += self.pick(&[
                "a",
                "key",
                "é",
                "😀",
                "\\n",
                "\\\"",
                "\\\\",
                "\\u0041",
                "\\ud83d\\ude00",
                "\\u00e9",
                "longer plain text ",
                "/",
                "\\/",
                "]",
                "}",
                ":",
                ",",
                "\\b\\f\\r\\t",
                "\\u0000",
                "7",
            ]);
        }
        text.push('"');
        self.put(&text);
    }

    fn number(&mut self) {
        let text = match self.random.below(8) {
            0 => self.random.below(10).to_string(),
            1 => self.random.next().cast_signed().to_string(),
            2 => self.random.next().to_string(),
            3 => format!(
                "{}.{}",
                self.random.below(1000),
                self.random.below(1_000_000)
            ),
            4 => format!(
                "-{}.{:03}e{}",
                self.random.below(10),
                self.random.below(1000),
                self.random.below(12)
            ),
            5 => format!("{}E-{}", self.random.below(1000), self.random.below(12)),
            6 => format!("-{}", self.random.below(1 << 40)),
            _ => (1_750_000_000_000 + self.random.below(1 << 30)).to_string(),
        };
        self.put(&text);
    }

    fn value(&mut self, depth: usize) {
        match self.random.below(if depth > 4 { 6 } else { 9 }) {
            0 | 1 => self.string(),
            2 | 3 => self.number(),
            4 => {
                let text = self.pick(&["null", "true", "false"]);
                self.put(text);
            }
            5 => {
                let text = self.pick(&[
                    "\"12\"", "\" 7 \"", "\"true\"", "\"1.5\"", "\"-3e2\"", "\"\"",
                ]);
                self.put(text);
            }
            6 => self.array(depth),
            _ => self.object(depth),
        }
    }

    fn array(&mut self, depth: usize) {
        self.put("[");
        for index in 0..self.random.below(4) {
            if index > 0 {
                self.put(",");
            }
            self.value(depth + 1);
        }
        self.put("]");
    }

    fn object(&mut self, depth: usize) {
        self.put("{");
        for index in 0..self.random.below(8) {
            if index > 0 {
                self.put(",");
            }
            let key = self.pick(&[
                "\"s\"",
                "\"i\"",
                "\"f\"",
                "\"b\"",
                "\"l\"",
                "\"m\"",
                "\"r\"",
                "\"x\"",
                "\"other\"",
                "\"\\u0073\"",
                "\"é\"",
                "\"\"",
            ]);
            self.put(key);
            self.put(":");
            self.value(depth + 1);
        }
        self.put("}");
    }

    /// Changes a few bytes, or none.
    fn damage(&mut self) {
        const BYTES: &[u8] = b"{}[]\",:\\ 019-+.eEutfnax/\n\t\x00\x1f\x7f\x80\xbf\xc3\xed\xff";
        for _ in 0..self.random.below(4) {
            let length = self.out.len() as u64;
            let at = self.random.below(length.max(1)) as usize;
            let byte = BYTES[self.random.below(BYTES.len() as u64) as usize];
            match self.random.below(5) {
                0 => self.out.insert(at, byte),
                1 if length > 0 => self.out[at] = byte,
                2 if length > 0 => drop(self.out.remove(at)),
                3 => self.out.truncate(at),
                4 => {
                    let copy = self.out[at..(at + 7).min(self.out.len())].to_vec();
                    let to = self.random.below(length) as usize;
                    self.out.splice(to..to, copy);
                }
                _ => {}
            }
        }
    }
}

fn check(schema: &SchemaRef, seed: u64) {
    let columns = DataType::Struct(schema.fields().clone());
    let mut decoder = formats::decoder(&config(&[]), schema).unwrap();
    let mut writer = Writer {
        random: SplitMix64::new(seed),
        out: vec![],
    };
    let (mut accepted, mut mismatched, mut not_json) = (0, 0, 0);
    for _ in 0..RECORDS / 2 / BATCH {
        let mut records = vec![];
        for _ in 0..BATCH {
            writer.object(0);
            writer.damage();
            records.push(std::mem::take(&mut writer.out));
        }
        let decoded = decoder.decode(&raw(&records)).unwrap();
        for (record, line) in records.iter().zip(lines(records.len(), &decoded)) {
            let shown = String::from_utf8_lossy(record);
            let tree = serde_json::from_slice::<Value>(record);
            let is_json = !line.starts_with("! not JSON");
            assert_eq!(
                is_json,
                tree.is_ok(),
                "seed={seed} {shown}\n{line}\n{tree:?}"
            );
            let Ok(tree) = tree else {
                not_json += 1;
                continue;
            };
            let expected = if tree.is_object() {
                model(&tree, &columns)
            } else {
                Err(No::Refused)
            };
            match expected {
                Err(No::Unknown) => {}
                Err(No::Refused) => {
                    mismatched += 1;
                    assert!(line.starts_with("! "), "seed={seed} {shown}\n{line}");
                }
                Ok(expected) => {
                    accepted += 1;
                    let found: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
                    assert!(
                        same(&found, &expected),
                        "seed={seed} {shown}\n{line}\n{expected}"
                    );
                }
            }
        }
    }
    assert!(
        accepted > 10_000 && not_json > 10_000,
        "{accepted} {mismatched} {not_json}"
    );
}

#[test]
fn columns_that_take_every_value() {
    let names = ["s", "i", "f", "é", "r"];
    check(&schema(&names.map(|name| (name, DataType::Utf8))), 1);
}

#[test]
fn typed_columns() {
    let inner = row(&[
        ("s", DataType::Utf8),
        ("i", DataType::Int64),
        ("x", DataType::Boolean),
    ]);
    let fields = [
        ("s", DataType::Utf8),
        ("i", DataType::Int64),
        ("f", DataType::Float64),
        ("b", DataType::Boolean),
        ("l", types::array(DataType::Utf8)),
        ("m", types::map(DataType::Utf8, DataType::Utf8)),
        ("r", inner),
    ];
    check(&schema(&fields), 2);
}
