//! Scalar functions whose results can be much larger than their arguments, as a query may use
//! them: what a call can give at most is taken from the memory of queries before it is computed,
//! and what it gave is held there until it is dropped.
//!
//! ```text
//! rows -> slices that give at most SLICE_BYTES -> reserve, compute, shrink -> one array, reserved
//! ```
//!
//! Functions that make long lists from numbers are not there at all ([`is_refused`]). `a || b` is
//! CONCAT. None of them is computed when a query is planned, where nothing could hold the result.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, GenericStringArray, ListArray, OffsetSizeTrait,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use bytes::Bytes;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use millstream_core::pattern::printf::WIDTH_MAX;

/// Most bytes that one step gives, unless a single row gives more.
const SLICE_BYTES: usize = 16 << 20;
/// Results below this are not worth the bookkeeping.
const TRACKED_BYTES_MIN: usize = 64 << 10;

/// Functions that queries do not have: their results can be of any length, whatever their
/// arguments are. `arrow_cast` makes lists of fixed length of NULL.
const REFUSED: [&str; 6] = [
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
    "array_replace_all",
    "arrow_cast",
];

/// Whether queries do not have `function`.
pub fn is_refused(function: &ScalarUDF) -> bool {
    REFUSED.contains(&function.name())
}

/// `function` with bounds, if its result can be much larger than its arguments; else itself.
pub fn bounded(function: &Arc<ScalarUDF>, pool: &Arc<dyn MemoryPool>) -> Arc<ScalarUDF> {
    match growth(function.name()) {
        None => function.clone(),
        Some(growth) => Arc::new(ScalarUDF::new_from_impl(Bounded {
            signature: Signature {
                volatility: Volatility::Volatile,
                ..function.signature().clone()
            },
            function: function.clone(),
            growth,
            pool: pool.clone(),
        })),
    }
}

/// Most bytes that a row gives, from the sizes and whole numbers of its arguments.
type RowBytes = fn(&[Argument]) -> usize;

/// An argument in one row: its bytes, and its value if it is a whole number.
#[derive(Clone, Copy)]
struct Argument {
    bytes: usize,
    number: usize,
}

fn growth(name: &str) -> Option<RowBytes> {
    Some(match name {
        "repeat" => |a| a[0].bytes.saturating_mul(a[1].number),
        // A character has four bytes at most.
        "lpad" | "rpad" => |a| a[1].number.saturating_mul(4),
        "concat" => sum,
        "concat_ws" => |a| sum(a).saturating_add(a[0].bytes.saturating_mul(a.len())),
        // Each element has at least a byte, and the separator or what stands for NULL beside it.
        "array_to_string" | "array_join" => |a| times(a[0].bytes, sum(&a[1..])),
        // A few bytes for one; more when they stand within each other.
        "hex" | "url_encode" | "to_base64" | "encode" | "json_quote" | "json_string"
        | "json_array" | "json_object" | "like_pattern" => |a| times(sum(a), 8),
        // Each conversion names a value, written large with three bytes for one, or fills a width.
        "printf" => |a| {
            let values = sum(&a[1..]).saturating_mul(3);
            times(a[0].bytes / 2, WIDTH_MAX.saturating_add(values))
        },
        // An element is a few numbers, and may be a byte of a text.
        "split" | "string_to_array" | "str_to_map" | "regexp_extract_all" | "regexp_match" => {
            |a| times(sum(a), 32)
        }
        "array" | "make_array" | "map" | "map_from_arrays" | "array_concat" | "array_append"
        | "array_prepend" | "array_union" | "map_entries" | "map_union" => |a| times(sum(a), 4),
        "overlay" | "translate" => |a| sum(a).saturating_mul(4),
        "replace" => |a| {
            let matches = a[0].bytes / a[1].bytes.max(1);
            a[0].bytes.saturating_add(times(matches, a[2].bytes))
        },
        // A match at each place, and each group of the pattern named again and again.
        "regexp_replace" => |a| times(a[0].bytes, a[2].bytes).saturating_mul(2),
        _ => return None,
    })
}

fn sum(arguments: &[Argument]) -> usize {
    arguments
        .iter()
        .fold(0, |sum, argument| sum.saturating_add(argument.bytes))
}

/// So many pieces, one before and one after each included, with so many bytes beside each.
fn times(pieces: usize, bytes: usize) -> usize {
    (pieces + 1).saturating_mul(bytes + 1)
}

/// The arguments of each row.
struct Arguments(Vec<Vec<Argument>>);

impl Arguments {
    /// Of `rows` rows; one row stands for all where every argument is constant.
    fn of(values: &[ColumnarValue], rows: usize) -> Result<Self> {
        let columns = values.iter().map(|value| match value {
            ColumnarValue::Scalar(value) => column(&value.to_array()?),
            ColumnarValue::Array(array) => column(array),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let row = |row: usize| columns.iter().map(|c| c[row.min(c.len() - 1)]).collect();
        Ok(Self((0..rows).map(row).collect()))
    }
}

/// An argument, row by row.
fn column(array: &ArrayRef) -> Result<Vec<Argument>> {
    let bytes = |bytes: usize| Argument { bytes, number: 0 };
    Ok(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(array, &DataType::LargeUtf8)?;
            let texts = texts.as_string::<i64>();
            texts
                .iter()
                .map(|text| bytes(text.map_or(0, str::len)))
                .collect()
        }
        kind if kind.is_integer() => {
            let numbers = cast(array, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>().iter();
            let number = |number: Option<i64>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
            numbers
                .map(|value| Argument {
                    bytes: 20,
                    number: number(value),
                })
                .collect()
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let items = column(lists.values())?;
            let of = |range: Range<usize>| range.map(|index| items[index].bytes + 1).sum();
            lists
                .offsets()
                .windows(2)
                .map(|ends| bytes(of(ends[0] as usize..ends[1] as usize)))
                .collect()
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>().iter();
            values
                .map(|value| bytes(value.map_or(0, <[u8]>::len)))
                .collect()
        }
        DataType::Map(..) => vec![bytes(array.to_data().get_slice_memory_size()?); array.len()],
        // Numbers and times as text, at most.
        _ => vec![bytes(64); array.len()],
    })
}

/// A function that grows.
struct Bounded {
    function: Arc<ScalarUDF>,
    signature: Signature,
    growth: RowBytes,
    pool: Arc<dyn MemoryPool>,
}

impl Bounded {
    /// The rows in pieces, each with the most bytes that it can give.
    fn pieces(&self, rows: &Arguments) -> Vec<(Range<usize>, usize)> {
        let mut pieces = vec![];
        let (mut start, mut bytes) = (0, 0usize);
        for (index, row) in rows.0.iter().enumerate() {
            let more = (self.growth)(row);
            if index > start && bytes.saturating_add(more) > SLICE_BYTES {
                pieces.push((start..index, bytes));
                (start, bytes) = (index, 0);
            }
            bytes = bytes.saturating_add(more);
        }
        pieces.push((start..rows.0.len(), bytes));
        pieces
    }

    fn call(&self, args: &ScalarFunctionArgs, rows: Range<usize>) -> Result<ArrayRef> {
        let slice = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => {
                ColumnarValue::Array(array.slice(rows.start, rows.len()))
            }
            constant => constant.clone(),
        };
        let part = ScalarFunctionArgs {
            args: args.args.iter().map(slice).collect(),
            number_rows: rows.len(),
            ..args.clone()
        };
        self.function.invoke_with_args(part)?.into_array(rows.len())
    }
}

impl ScalarUDFImpl for Bounded {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = Arguments::of(&args.args, args.number_rows)?;
        let reservation = MemoryConsumer::new(self.name()).register(&self.pool);
        let mut parts = vec![];
        let mut held = 0;
        for (rows, bytes) in self.pieces(&rows) {
            reservation.try_resize(held + bytes)?;
            let part = self.call(&args, rows)?;
            held += part.get_array_memory_size();
            reservation.try_resize(held)?;
            parts.push(part);
        }
        let result = match parts.as_slice() {
            [only] => only.clone(),
            _ => {
                reservation.try_resize(held.saturating_mul(2))?;
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                concat(&parts)?
            }
        };
        drop(parts);
        reservation.try_resize(result.get_array_memory_size())?;
        Ok(ColumnarValue::Array(held_by(result, reservation)?))
    }
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bounded({})", self.function.name())
    }
}

// Names are unique.
impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

/// The same array; `reservation` is held until its text, or where its lists begin, is dropped,
/// however it is sliced.
fn held_by(array: ArrayRef, reservation: MemoryReservation) -> Result<ArrayRef> {
    if reservation.size() < TRACKED_BYTES_MIN {
        return Ok(array);
    }
    match array.data_type() {
        DataType::Utf8 => texts::<i32>(&array, reservation),
        DataType::LargeUtf8 => texts::<i64>(&array, reservation),
        DataType::Binary => {
            let (offsets, bytes, nulls) = array.as_binary::<i32>().clone().into_parts();
            let bytes = held(bytes, reservation);
            Ok(Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?))
        }
        DataType::List(_) => {
            let (field, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let count = offsets.len();
            let offsets = held(offsets.into_inner().into_inner(), reservation);
            let offsets = OffsetBuffer::new(ScalarBuffer::new(offsets, 0, count));
            Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
        }
        _ => Ok(array),
    }
}

fn texts<O: OffsetSizeTrait>(array: &ArrayRef, reservation: MemoryReservation) -> Result<ArrayRef> {
    let (offsets, text, nulls) = array.as_string::<O>().clone().into_parts();
    let text = held(text, reservation);
    let array = GenericStringArray::<O>::try_new(offsets, text, nulls)?;
    Ok(Arc::new(array))
}

fn held(buffer: Buffer, reservation: MemoryReservation) -> Buffer {
    Buffer::from(Bytes::from_owner(Held {
        buffer,
        _reservation: reservation,
    }))
}

/// Bytes, and the memory that is reserved for them.
struct Held {
    buffer: Buffer,
    _reservation: MemoryReservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

/// Plans `a || b` as CONCAT, unless they are lists.
#[derive(Debug)]
pub struct ConcatPlanner {
    /// CONCAT, bounded.
    pub concat: Arc<ScalarUDF>,
}

impl ExprPlanner for ConcatPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_text = |side: &Expr| side.get_type(schema).map(|kind| !kind.is_nested());
        let is_concat = matches!(expr.op, BinaryOperator::StringConcat);
        if !is_concat || !is_text(&expr.left)? || !is_text(&expr.right)? {
            return Ok(PlannerResult::Original(expr));
        }
        // `a || b || c` is one call, however long it is.
        let mut args = match expr.left {
            Expr::ScalarFunction(left) if left.func == self.concat => left.args,
            left => vec![left],
        };
        args.push(expr.right);
        let call = ScalarFunction::new_udf(self.concat.clone(), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}
