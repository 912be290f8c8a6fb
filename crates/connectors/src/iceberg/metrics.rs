//! What a manifest says of a data file's columns: counts, and bounds by which readers leave files out.
//! A bound may be too wide, never too narrow.

use std::collections::HashMap;

use iceberg::spec::{DataFile, DataFileBuilder, Datum, PrimitiveLiteral, PrimitiveType, Struct};
use millstream_core::{Error, Result};

/// Characters (bytes of binaries) of a bound, as Iceberg's default `truncate(16)`.
const BOUND_LENGTH: usize = 16;

/// A data file's columns, of one file or of several.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    sizes: HashMap<i32, u64>,
    values: HashMap<i32, u64>,
    nulls: HashMap<i32, u64>,
    nans: HashMap<i32, u64>,
    lower: HashMap<i32, Datum>,
    upper: HashMap<i32, Datum>,
}

impl Columns {
    fn of(file: &DataFile) -> Self {
        Self {
            sizes: file.column_sizes().clone(),
            values: file.value_counts().clone(),
            nulls: file.null_value_counts().clone(),
            nans: file.nan_value_counts().clone(),
            lower: file.lower_bounds().clone(),
            upper: file.upper_bounds().clone(),
        }
    }

    /// Of a file with all rows of `files`: what one of them does not tell, it does not tell.
    pub fn of_all<'a>(files: impl IntoIterator<Item = &'a DataFile>) -> Self {
        let all = files.into_iter().map(Self::of).reduce(|mut sum, file| {
            sum.lower = bounds((&sum, &sum.lower), (&file, &file.lower), |a, b| a < b);
            sum.upper = bounds((&sum, &sum.upper), (&file, &file.upper), |a, b| a > b);
            for (sum, more) in [
                (&mut sum.sizes, &file.sizes),
                (&mut sum.values, &file.values),
                (&mut sum.nulls, &file.nulls),
                (&mut sum.nans, &file.nans),
            ] {
                sum.retain(|column, _| more.contains_key(column));
                for (column, count) in sum {
                    *count += more[column];
                }
            }
            sum
        });
        all.unwrap_or_default()
    }

    /// Whether it tells that a column has nothing but nulls, so that it has no bounds.
    fn is_null(&self, column: i32) -> bool {
        self.values.contains_key(&column) && self.values.get(&column) == self.nulls.get(&column)
    }

    fn shorten(&mut self) {
        self.lower.values_mut().for_each(|bound| {
            if let Some(short) = short_lower(bound) {
                *bound = short;
            }
        });
        self.upper.retain(|_, bound| match short_upper(bound) {
            Short::Fits => true,
            Short::Bound(short) => {
                *bound = short;
                true
            }
            Short::None => false,
        });
    }
}

/// A data file's place and size.
#[derive(Debug)]
pub struct Body {
    /// Its URI.
    pub path: String,
    /// Partition values, of `spec_id`.
    pub partition: Struct,
    /// A partition spec of the table.
    pub spec_id: i32,
    /// The table's sort order by which its rows are sorted.
    pub sort_order_id: Option<i32>,
    /// How many rows.
    pub rows: u64,
    /// How long the file is.
    pub bytes: u64,
    /// Where its row groups begin.
    pub offsets: Vec<i64>,
}

/// A Parquet data file of the table.
pub fn data_file(body: Body, mut columns: Columns) -> Result<DataFile> {
    columns.shorten();
    let mut builder = DataFileBuilder::default();
    builder
        .content(iceberg::spec::DataContentType::Data)
        .file_path(body.path)
        .file_format(iceberg::spec::DataFileFormat::Parquet)
        .partition(body.partition)
        .partition_spec_id(body.spec_id)
        .record_count(body.rows)
        .file_size_in_bytes(body.bytes)
        .column_sizes(columns.sizes)
        .value_counts(columns.values)
        .null_value_counts(columns.nulls)
        .nan_value_counts(columns.nans)
        .lower_bounds(columns.lower)
        .upper_bounds(columns.upper)
        .split_offsets(Some(body.offsets));
    if let Some(id) = body.sort_order_id {
        builder.sort_order_id(id);
    }
    builder
        .build()
        .map_err(|error| Error::bug(format!("a data file's description: {error}")))
}

/// The same file with bounds of bounded length.
pub fn shortened(file: &DataFile, spec_id: i32) -> Result<DataFile> {
    let body = Body {
        path: file.file_path().to_owned(),
        partition: file.partition().clone(),
        spec_id,
        sort_order_id: file.sort_order_id(),
        rows: file.record_count(),
        bytes: file.file_size_in_bytes(),
        offsets: file
            .split_offsets()
            .map(<[i64]>::to_vec)
            .unwrap_or_default(),
    };
    data_file(body, Columns::of(file))
}

fn bounds(
    (one, mine): (&Columns, &HashMap<i32, Datum>),
    (other, more): (&Columns, &HashMap<i32, Datum>),
    is_wider: impl Fn(&Datum, &Datum) -> bool,
) -> HashMap<i32, Datum> {
    let columns = mine.keys().chain(more.keys()).copied();
    let bound = |column: i32| match (mine.get(&column), more.get(&column)) {
        (Some(a), Some(b)) if a.data_type() == b.data_type() => {
            Some(if is_wider(a, b) { a.clone() } else { b.clone() })
        }
        (Some(a), None) if other.is_null(column) => Some(a.clone()),
        (None, Some(b)) if one.is_null(column) => Some(b.clone()),
        _ => None,
    };
    columns
        .filter_map(|column| bound(column).map(|bound| (column, bound)))
        .collect()
}

fn short_lower(bound: &Datum) -> Option<Datum> {
    match bound.literal() {
        PrimitiveLiteral::String(text) => {
            let (end, _) = text.char_indices().nth(BOUND_LENGTH)?;
            Some(Datum::string(&text[..end]))
        }
        PrimitiveLiteral::Binary(bytes) if *bound.data_type() == PrimitiveType::Binary => {
            (bytes.len() > BOUND_LENGTH).then(|| Datum::binary(bytes[..BOUND_LENGTH].to_vec()))
        }
        _ => None,
    }
}

/// An upper bound made short.
enum Short {
    Fits,
    Bound(Datum),
    /// There is none of that length.
    None,
}

fn short_upper(bound: &Datum) -> Short {
    match bound.literal() {
        PrimitiveLiteral::String(text) => {
            let Some((end, _)) = text.char_indices().nth(BOUND_LENGTH) else {
                return Short::Fits;
            };
            next_text(&text[..end]).map_or(Short::None, |text| Short::Bound(Datum::string(text)))
        }
        PrimitiveLiteral::Binary(bytes) if *bound.data_type() == PrimitiveType::Binary => {
            if bytes.len() <= BOUND_LENGTH {
                return Short::Fits;
            }
            let mut bytes = bytes[..BOUND_LENGTH].to_vec();
            while bytes.last() == Some(&u8::MAX) {
                bytes.pop();
            }
            match bytes.last_mut() {
                Some(last) => *last += 1,
                None => return Short::None,
            }
            Short::Bound(Datum::binary(bytes))
        }
        _ => Short::Fits,
    }
}

/// The least text of that length that is greater than all that begin with `prefix`.
fn next_text(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The surrogates are a gap among the characters.
        let next = (u32::from(last) + 1..=u32::from(char::MAX))
            .take(0x801)
            .find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upper(text: &str) -> Option<String> {
        match short_upper(&Datum::string(text)) {
            Short::Fits => Some(text.to_owned()),
            Short::Bound(bound) => match bound.literal() {
                PrimitiveLiteral::String(text) => Some(text.clone()),
                other => panic!("{other:?}"),
            },
            Short::None => None,
        }
    }

    #[test]
    fn an_upper_bound_of_long_text_is_above_it() {
        let fits = "sixteen letters.";
        assert_eq!(upper(fits).as_deref(), Some(fits));
        assert_eq!(
            upper("sixteen letters.x").as_deref(),
            Some("sixteen letters/")
        );
        let greatest = char::MAX.to_string();
        assert_eq!(upper(&greatest.repeat(17)), None);
        let mixed = format!("a{}", greatest.repeat(16));
        assert_eq!(upper(&mixed).as_deref(), Some("b"));
        assert_eq!(
            upper(&"\u{d7ff}".repeat(17)).map(|text| text.chars().last()),
            Some(Some('\u{e000}'))
        );
    }

    fn file(rows: u64, nulls: u64, range: Option<(i64, i64)>) -> DataFile {
        let columns = Columns {
            values: HashMap::from([(1, rows)]),
            nulls: HashMap::from([(1, nulls)]),
            lower: range
                .map(|(low, _)| (1, Datum::long(low)))
                .into_iter()
                .collect(),
            upper: range
                .map(|(_, high)| (1, Datum::long(high)))
                .into_iter()
                .collect(),
            ..Columns::default()
        };
        let body = Body {
            path: String::new(),
            partition: Struct::empty(),
            spec_id: 0,
            sort_order_id: None,
            rows,
            bytes: 1,
            offsets: vec![4],
        };
        data_file(body, columns).unwrap()
    }

    #[test]
    fn bounds_of_several_files_hold_for_all_their_rows() {
        let check = |files: &[DataFile], expected: Option<(i64, i64)>| {
            let all = Columns::of_all(files);
            let expected = expected.map(|(low, high)| (Datum::long(low), Datum::long(high)));
            let found = all.lower.get(&1).cloned().zip(all.upper.get(&1).cloned());
            assert_eq!(found, expected);
        };
        let (low, high) = (file(5, 0, Some((1, 4))), file(5, 1, Some((3, 9))));
        check(&[low.clone(), high.clone()], Some((1, 9)));
        check(&[high.clone(), low.clone()], Some((1, 9)));
        check(&[low.clone(), file(2, 2, None), high], Some((1, 9)));
        check(&[low, file(2, 1, None)], None);
        let all = Columns::of_all(&[file(5, 1, None), file(2, 2, None)]);
        assert_eq!((all.values[&1], all.nulls[&1]), (7, 3));
    }
}
