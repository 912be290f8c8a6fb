//! What an expression sees besides its row: processing time, chance, watermarks (see
//! [`millstream_core::surroundings`]).
//!
//! An expression that looks at them is compiled over three more columns, which stand after those of its
//! input: `$now`, `$seed` and `$watermark`. So it stays a function of a batch, and whoever evaluates it
//! decides what time it is. Each evaluation draws a seed of its own, and each call in an expression has
//! a number, so no two calls give the same random values.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::surroundings::{Looks, looks};
use millstream_core::types::{TIME_ZONE, timestamp_ltz};
use millstream_core::{Result, Watermark};

use super::chance::SplitMix;
use crate::function::Args;

/// What is the same for all rows that are evaluated at once.
pub struct Surroundings<'a> {
    now_ms: i64,
    chance: Cell<SplitMix>,
    watermarks: Watermarks<'a>,
}

/// The watermark that each row sees.
#[derive(Clone, Copy)]
pub enum Watermarks<'a> {
    /// The same.
    All(Watermark),
    /// By row.
    Each(&'a dyn Fn(usize) -> Watermark),
}

impl<'a> Surroundings<'a> {
    /// At processing time `now_ms`, with what chance gives from `seed` on.
    pub fn new(now_ms: i64, seed: u64, watermarks: Watermarks<'a>) -> Self {
        Self {
            now_ms,
            chance: Cell::new(SplitMix::new(seed)),
            watermarks,
        }
    }

    /// `rows` with the columns that [`Extended`] says.
    pub(super) fn beside(&self, rows: &RecordBatch, extended: &Extended) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let times = |time: &dyn Fn(usize) -> Option<i64>| -> ArrayRef {
            let times: TimestampMillisecondArray = (0..count).map(time).collect();
            Arc::new(times.with_timezone(TIME_ZONE))
        };
        let mut chance = self.chance.get();
        let seed = chance.draw().cast_signed();
        self.chance.set(chance);
        let watermark = |row: usize| {
            let watermark = match self.watermarks {
                _ if !extended.looks_at_watermark => Watermark::MIN,
                Watermarks::All(watermark) => watermark,
                Watermarks::Each(of) => of(row),
            };
            let is_time = watermark != Watermark::MIN && watermark != Watermark::MAX;
            is_time.then_some(watermark.0)
        };
        let mut columns = rows.columns().to_vec();
        columns.push(times(&|_| Some(self.now_ms)));
        columns.push(Arc::new(Int64Array::from_value(seed, count)));
        columns.push(times(&watermark));
        Ok(RecordBatch::try_new(extended.schema.clone(), columns)?)
    }
}

/// The columns that an expression sees which looks at its surroundings.
#[derive(Debug, Clone)]
pub(super) struct Extended {
    /// The input's, then ours.
    pub schema: SchemaRef,
    looks_at_watermark: bool,
}

/// Our columns.
const COLUMNS: usize = 3;

impl Extended {
    /// For `expr` over `input`; none if it looks at nothing.
    pub fn of(expr: &Expr, input: &Schema) -> Option<Self> {
        if !expr.looks(|_| true) {
            return None;
        }
        let mut fields = input.fields().to_vec();
        for (name, data_type) in [
            ("$now", timestamp_ltz(3)),
            ("$seed", DataType::Int64),
            ("$watermark", timestamp_ltz(3)),
        ] {
            fields.push(Arc::new(Field::new(name, data_type, true)));
        }
        Some(Self {
            schema: Arc::new(Schema::new(fields)),
            looks_at_watermark: expr.looks(|looks| looks == Looks::AtWatermark),
        })
    }
}

/// The column of an extended schema that such a call reads.
pub(super) fn column(looks: Looks, extended: &Schema) -> Arc<dyn PhysicalExpr> {
    let part = match looks {
        Looks::AtClock => 0,
        Looks::AtChance => 1,
        Looks::AtWatermark => 2,
    };
    let index = extended.fields().len() - COLUMNS + part;
    Arc::new(Column::new(extended.field(index).name(), index))
}

/// Gives each call that looks at chance a number as its last argument.
pub(super) fn number_calls(expr: &mut Expr, next: &mut i64) {
    for child in expr.children_mut() {
        number_calls(child, next);
    }
    if let ExprKind::Call { function, args } = &mut expr.kind
        && looks(function, args.len()) == Some(Looks::AtChance)
    {
        args.push(Expr::literal(Literal::Int(*next), DataType::Int64));
        *next += 1;
    }
}

/// A time of `$now` or `$watermark` in the type that is wanted: a timestamp, a date, a time of day in
/// whole seconds, or seconds since 1970.
pub(super) fn time(args: &Args<'_>) -> Result<ArrayRef> {
    const SECOND_MS: i64 = 1_000;
    const DAY_MS: i64 = 86_400_000;
    let times = args.array(0)?;
    let times = crate::window::assigner::to_millis(&times)?;
    Ok(match args.return_type {
        DataType::Date32 => {
            let days = |ms: i64| i32::try_from(ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
            Arc::new(times.unary::<_, arrow::datatypes::Date32Type>(days))
        }
        DataType::Time32(_) => {
            let of_day = |ms: i64| {
                let ms = ms.rem_euclid(DAY_MS) / SECOND_MS * SECOND_MS;
                i32::try_from(ms).expect("a day has fewer than 2^31 ms")
            };
            Arc::new(times.unary::<_, arrow::datatypes::Time32MillisecondType>(of_day))
        }
        DataType::Int64 => Arc::new(times.unary::<_, Int64Type>(|ms| ms.div_euclid(SECOND_MS))),
        wanted => {
            let (values, nulls) = (times.values().clone(), times.nulls().cloned());
            let zone = match wanted {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let times = TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone);
            let times: ArrayRef = Arc::new(times);
            match times.data_type() == wanted {
                true => times,
                false => arrow::compute::cast(&times, wanted)?,
            }
        }
    })
}
