//! [`Columns`]: events as Arrow columns, only the columns and fields that are asked for.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use millstream_core::types::{sql_name, timestamp};
use millstream_core::{Error, Result};

use super::config::Config;
use super::events::{Events, Kind};

const EVENT_TYPE: &str = "event_type";

/// How the values of a field are made.
#[derive(Clone, Copy)]
enum Make {
    Long(fn(&Events, u64) -> u64),
    Time(fn(&Events, u64) -> i64),
    /// With its average length.
    Text(fn(&Events, u64, &mut String), u64),
}

impl Make {
    fn data_type(self) -> DataType {
        match self {
            Self::Long(_) => DataType::Int64,
            Self::Time(_) => timestamp(3),
            Self::Text(..) => DataType::Utf8,
        }
    }
}

/// All fields of one kind of event, in the benchmark's order.
fn fields_of(kind: Kind, config: &Config) -> Vec<(&'static str, Make)> {
    use Make::{Long, Text, Time};
    let extra = |wanted: u64| wanted.saturating_sub(32);
    match kind {
        Kind::Person => vec![
            ("id", Long(Events::person_id)),
            ("name", Text(Events::name, 11)),
            ("emailAddress", Text(Events::email, 17)),
            ("creditCard", Text(Events::credit_card, 19)),
            ("city", Text(Events::city, 6)),
            ("state", Text(Events::state, 2)),
            ("dateTime", Time(Events::time_ms)),
            (
                "extra",
                Text(Events::person_extra, extra(config.person_bytes)),
            ),
        ],
        Kind::Auction => vec![
            ("id", Long(Events::auction_id)),
            ("itemName", Text(Events::item_name, 12)),
            ("description", Text(Events::description, 52)),
            ("initialBid", Long(Events::initial_bid)),
            ("reserve", Long(Events::reserve)),
            ("dateTime", Time(Events::time_ms)),
            ("expires", Time(Events::expires_ms)),
            ("seller", Long(Events::seller)),
            ("category", Long(Events::category)),
            (
                "extra",
                Text(Events::auction_extra, extra(config.auction_bytes)),
            ),
        ],
        Kind::Bid => vec![
            ("auction", Long(Events::bid_auction)),
            ("bidder", Long(Events::bidder)),
            ("price", Long(Events::bid_price)),
            ("channel", Text(Events::channel, 10)),
            ("url", Text(Events::url, 70)),
            ("dateTime", Time(Events::time_ms)),
            ("extra", Text(Events::bid_extra, extra(config.bid_bytes))),
        ],
    }
}

/// The columns that are asked for.
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// About how many bytes a row takes.
    pub row_bytes: usize,
}

enum Column {
    EventType,
    Row(Kind, Fields, Vec<Make>),
}

impl Columns {
    /// `InvalidInput` for a column or field that events do not have, or have with another type.
    pub fn new(schema: &SchemaRef, config: &Config) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| column(field, config));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let row_bytes = columns.iter().map(|column| column.row_bytes(config)).sum();
        Ok(Self {
            schema: SchemaRef::clone(schema),
            columns,
            row_bytes,
        })
    }

    /// The events with these numbers.
    pub fn rows(&self, events: &Events, numbers: &[u64]) -> Result<RecordBatch> {
        let kinds: Vec<Kind> = numbers.iter().map(|n| events.kind(*n)).collect();
        let columns = self.columns.iter().map(|column| match column {
            Column::EventType => {
                let types = kinds.iter().map(|kind| *kind as i32);
                Ok(Arc::new(Int32Array::from_iter_values(types)) as ArrayRef)
            }
            Column::Row(kind, fields, makes) => {
                let is = BooleanBuffer::from_iter(kinds.iter().map(|of| of == kind));
                let rows = Rows {
                    events,
                    numbers,
                    is: NullBuffer::new(is),
                };
                rows.column(fields, makes)
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        let schema = SchemaRef::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

impl Column {
    fn row_bytes(&self, config: &Config) -> usize {
        let Self::Row(kind, _, makes) = self else {
            return 4;
        };
        let of_kind = match kind {
            Kind::Person => config.people,
            Kind::Auction => config.auctions,
            Kind::Bid => config.bids,
        };
        let bytes = makes.iter().map(|make| match make {
            Make::Text(_, length) => 4 + length * of_kind / config.round(),
            _ => 8,
        });
        usize::try_from(bytes.sum::<u64>()).unwrap_or(usize::MAX)
    }
}

fn column(field: &Field, config: &Config) -> Result<Column> {
    let kind = match field.name().as_str() {
        EVENT_TYPE => {
            expect_type(EVENT_TYPE, field.data_type(), &DataType::Int32)?;
            return Ok(Column::EventType);
        }
        "person" => Kind::Person,
        "auction" => Kind::Auction,
        "bid" => Kind::Bid,
        other => {
            return Err(Error::invalid(format!(
                "`nexmark` has no column `{other}`; expected one of: {EVENT_TYPE}, person, auction, \
                 bid"
            )));
        }
    };
    let known = fields_of(kind, config);
    let DataType::Struct(fields) = field.data_type() else {
        let all = known.iter();
        let all = all.map(|(name, make)| Field::new(*name, make.data_type(), true));
        let all = DataType::Struct(all.collect());
        return Err(wrong_type(field.name(), field.data_type(), &all));
    };
    let makes = fields.iter().map(|inner| {
        let (name, column) = (inner.name(), field.name());
        let found = known.iter().find(|(known, _)| known == name);
        let (_, make) = found.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            Error::invalid(format!(
                "`{column}` of `nexmark` has no field `{name}`; expected one of: {names}"
            ))
        })?;
        expect_type(
            &format!("{column}.{name}"),
            inner.data_type(),
            &make.data_type(),
        )?;
        Ok(*make)
    });
    let makes = makes.collect::<Result<_>>()?;
    Ok(Column::Row(kind, fields.clone(), makes))
}

fn expect_type(name: &str, found: &DataType, expected: &DataType) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(wrong_type(name, found, expected)),
    }
}

fn wrong_type(name: &str, found: &DataType, expected: &DataType) -> Error {
    let (found, expected) = (sql_name(found), sql_name(expected));
    Error::invalid(format!(
        "`{name}` of `nexmark`: found {found}, expected {expected}"
    ))
}

/// A batch of events, of which some are of one kind; the others are null.
struct Rows<'a> {
    events: &'a Events,
    numbers: &'a [u64],
    is: NullBuffer,
}

impl Rows<'_> {
    fn column(&self, fields: &Fields, makes: &[Make]) -> Result<ArrayRef> {
        let arrays = makes.iter().map(|make| self.field(*make)).collect();
        let (fields, nulls) = (fields.clone(), Some(self.is.clone()));
        let count = self.numbers.len();
        Ok(Arc::new(StructArray::try_new_with_length(
            fields, arrays, nulls, count,
        )?))
    }

    /// The values, null where the row is.
    fn field(&self, make: Make) -> ArrayRef {
        let nulls = Some(self.is.clone());
        match make {
            Make::Long(value) => {
                let value = |n| i64::try_from(value(self.events, n)).unwrap_or(i64::MAX);
                Arc::new(Int64Array::new(self.longs(value).into(), nulls))
            }
            Make::Time(value) => {
                let values = self.longs(|n| value(self.events, n));
                Arc::new(TimestampMillisecondArray::new(values.into(), nulls))
            }
            Make::Text(write, length) => self.texts(write, length),
        }
    }

    fn longs(&self, value: impl Fn(u64) -> i64) -> Vec<i64> {
        let mut values = vec![0; self.numbers.len()];
        for row in self.is.valid_indices() {
            values[row] = value(self.numbers[row]);
        }
        values
    }

    fn texts(&self, write: fn(&Events, u64, &mut String), length: u64) -> ArrayRef {
        let count = self.numbers.len();
        let texts = count - self.is.null_count();
        let mut text = String::with_capacity(texts * (length + length / 4) as usize);
        let mut lengths = vec![0; count];
        for row in self.is.valid_indices() {
            let before = text.len();
            write(self.events, self.numbers[row], &mut text);
            lengths[row] = text.len() - before;
        }
        let offsets = OffsetBuffer::from_lengths(lengths);
        let nulls = Some(self.is.clone());
        Arc::new(StringArray::new(offsets, text.into_bytes().into(), nulls))
    }
}
