//! A JSON value: read from text, written back.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    /// As Java writes a `BigInteger` or `BigDecimal`: no digit is lost, `1.50` stays `1.50`.
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// In the order of the text; of a key that is there twice the last value counts.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Whether it is neither an object nor an array.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// Number of elements or keys; 1 for a scalar.
    pub fn len(&self) -> usize {
        match self {
            Self::Array(elements) => elements.len(),
            Self::Object(entries) => entries.len(),
            _ => 1,
        }
    }

    /// Writes it without blanks, keys in order, as Flink does.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::String(text) => write_quoted(text, out),
            Self::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                let mut entries: Vec<&(String, Json)> = entries.iter().collect();
                entries.sort_by(|(left, _), (right, _)| java_order(left, right));
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write_quoted(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
            scalar => scalar.write_scalar(out),
        }
    }

    /// Writes a scalar as text: a string without quotes.
    pub fn write_scalar(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) | Self::String(text) => out.push_str(text),
            nested => nested.write(out),
        }
    }
}

/// The order of Java's strings: by UTF-16 units.
pub(super) fn java_order(left: &str, right: &str) -> std::cmp::Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Writes `text` in quotes.
pub(super) fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
