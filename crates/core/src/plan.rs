//! A pipeline as plain data: what `sql` makes and `engine` runs.
//!
//! A plan is a graph without circles: sources feed nodes, nodes feed one or several others, and what
//! feeds nothing is a sink. Nodes stand in topological order; [`Node::inputs`] point back. Rows of a source have the columns of its
//! [`RowShape`]: decoded, then metadata, then computed ones. Only columns that something reads are
//! in the shape. `Display` is what EXPLAIN prints; [`Plan::fingerprint`] is a hash of that text.

mod describe;
mod join;
mod ordered;
mod restart;
mod unnest;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::expr::{Expr, Joined, Literal};
use crate::function::{self, Named};
use crate::ids::{NodeId, SinkId, SourceId, TableId};
use crate::time::TimeDomain;
use crate::types::{sql_name, timestamp};

pub use join::{Join, JoinKey, JoinKind, JoinOn, TablePlan, TableStep};
pub use ordered::{Frame, OverAggregate, OverCall, SortKey, WindowRank};
pub use restart::{Backoff, RestartStrategy};
pub use unnest::Unnest;

/// A pipeline, bound and typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The tables that are read, each once, however many queries read it.
    pub sources: Vec<SourcePlan>,
    /// The tables that are held in memory, one for each join with a table.
    pub tables: Vec<TablePlan>,
    /// What happens between, in topological order.
    pub nodes: Vec<Node>,
    /// The tables that are written, late-event and dead-letter tables included.
    pub sinks: Vec<SinkPlan>,
    /// What the file's SET statements say.
    pub options: PipelineOptions,
}

/// What SET statements and `--set` decide.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineOptions {
    /// `pipeline.name`: the stable identity of state and sinks; by default the file's stem.
    pub name: String,
    /// `execution.checkpointing.interval`: how long an epoch is, in milliseconds; default 1 s.
    pub epoch_interval_ms: u64,
    /// `parallelism.default`: number of shards; by default as many as the machine has cores.
    pub parallelism: Option<u32>,
    /// `millstream.batch-rows`: most rows decoded at once; default 8192.
    pub batch_rows: usize,
    /// `restart-strategy.…`: whether and when it is started again after a failure.
    pub restart: RestartStrategy,
    /// Every SET key as given, for the record.
    pub settings: BTreeMap<String, String>,
}

/// `WITH (…)` of a table, variables resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorConfig {
    /// The value of `'connector'`.
    pub connector: String,
    /// The other options, `'format'` and `'json.…'` included.
    pub options: BTreeMap<String, String>,
}

impl ConnectorConfig {
    /// The option `key`, if given.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

/// The columns of a source's rows: decoded, then metadata, then computed.
#[derive(Debug, Clone, PartialEq)]
pub struct RowShape {
    /// Columns that the decoder fills, by name. Only those that something reads.
    pub decoded: SchemaRef,
    /// Columns about the record itself.
    pub metadata: Vec<MetadataColumn>,
    /// Columns computed from those before (`name AS expression`), as name and expression over
    /// the decoded and metadata columns.
    pub computed: Vec<(String, Expr)>,
}

/// `name TYPE METADATA [FROM 'key']`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataColumn {
    /// The column's name.
    pub name: String,
    /// `offset`, `timestamp`, or a key of [`Split::metadata`](crate::source::Split::metadata).
    pub key: String,
    /// The column's type: BIGINT, INT, STRING or TIMESTAMP_LTZ(3).
    pub data_type: DataType,
}

impl RowShape {
    /// All columns in order. Every column may be null.
    pub fn schema(&self) -> SchemaRef {
        let mut fields: Vec<Arc<Field>> = self.decoded.fields().iter().cloned().collect();
        let metadata = self.metadata.iter();
        fields.extend(metadata.map(|c| Arc::new(Field::new(&c.name, c.data_type.clone(), true))));
        let computed = self.computed.iter();
        fields.extend(computed.map(|(n, e)| Arc::new(Field::new(n, e.data_type.clone(), true))));
        Arc::new(Schema::new(fields))
    }
}

/// A table that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct SourcePlan {
    /// Position in [`Plan::sources`].
    pub id: SourceId,
    /// The table's name.
    pub table: String,
    /// Where its rows come from.
    pub connector: ConnectorConfig,
    /// The columns that its readers need.
    pub shape: RowShape,
    /// Rows for which this is not true reach nothing, so a connector that knows ranges of whole splits
    /// may leave such splits out. Over the columns of [`RowShape::schema`].
    pub filter: Option<Expr>,
    /// From `WATERMARK FOR`. Without it the source has no event time.
    pub event_time: Option<EventTimeSpec>,
    /// Where rows go that a windowed query drops as late; `None`: they are only counted.
    pub late_events: Option<LateEvents>,
    /// Where records go that cannot be decoded; `None`: they are only counted.
    pub dead_letters: Option<DeadLetters>,
}

/// `WATERMARK FOR column AS column - delay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTimeSpec {
    /// Index in the source's [`RowShape::schema`]; a TIMESTAMP or TIMESTAMP_LTZ column.
    pub column: usize,
    /// How much later than the newest event the watermark follows, in milliseconds.
    pub delay_ms: i64,
    /// A split without rows for so long stops holding time back.
    pub idle_timeout_ms: Option<u64>,
}

/// The table of late rows. They are decoded again from the raw record with a shape of their own,
/// so the columns that only this table has cost nothing for rows that are on time.
#[derive(Debug, Clone, PartialEq)]
pub struct LateEvents {
    /// Where they go.
    pub sink: SinkId,
    /// What to decode of a late record.
    pub shape: RowShape,
    /// The sink's columns, in its order.
    pub columns: Vec<LateColumn>,
}

/// A column of a late-event table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LateColumn {
    /// Column of [`LateEvents::shape`].
    Source(usize),
    /// `late_for STRING`: the sink whose query dropped the row.
    LateFor,
    /// `window_start TIMESTAMP(3)` of the window that it missed.
    WindowStart,
    /// `window_end TIMESTAMP(3)` of the window that it missed.
    WindowEnd,
    /// `watermark TIMESTAMP(3)` of its split before it.
    Watermark,
}

/// The table of records that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// Where they go.
    pub sink: SinkId,
    /// The sink's columns, in its order.
    pub columns: Vec<DeadLetterColumn>,
}

/// A column of a dead-letter table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterColumn {
    /// `raw BYTES`, or `raw STRING` with invalid UTF-8 replaced.
    Raw,
    /// `source_table STRING`.
    SourceTable,
    /// `split STRING`.
    Split,
    /// `offset BIGINT`.
    Offset,
    /// `error STRING`.
    Error,
}

/// What feeds a [`Node`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeInput {
    /// Rows of a source, in its [`RowShape`].
    Source(SourceId),
    /// Rows that another node puts out.
    Node(NodeId),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Position in [`Plan::nodes`].
    pub id: NodeId,
    /// Where its rows come from: one for most operators. The position is the *port*.
    pub inputs: Vec<NodeInput>,
    /// What it does with them.
    pub operator: Operator,
    /// Columns that it puts out; for a sink, the columns that it takes.
    pub schema: SchemaRef,
}

/// What a [`Node`] does.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Keeps rows for which the expression is true.
    Filter(Expr),
    /// Computes the output columns.
    Project(Vec<Expr>),
    /// Appends `window_start`, `window_end` (TIMESTAMP(3)) and `window_time` (type of the time
    /// column), dropping nothing.
    AssignWindow(WindowSpec),
    /// Groups by window and keys.
    WindowAggregate(WindowAggregate),
    /// Keeps the best rows of each window.
    WindowRank(WindowRank),
    /// Aggregates over the rows before each row.
    Over(OverAggregate),
    /// Puts out the rows of all inputs, which have the same types.
    Union,
    /// Puts rows of two inputs side by side.
    Join(Join),
    /// Makes a row of each element of an array or map.
    Unnest(Unnest),
    /// Writes to a sink, column by column in order.
    Sink(SinkId),
}

impl Operator {
    /// Whether it remembers rows from one batch to the next.
    pub fn is_stateful(&self) -> bool {
        match self {
            Self::WindowAggregate(_) | Self::WindowRank(_) | Self::Over(_) => true,
            Self::Join(join) => join.is_stateful(),
            _ => false,
        }
    }

    /// The table in memory that it joins with.
    pub fn table(&self) -> Option<TableId> {
        match self {
            Self::Join(Join {
                on: JoinOn::Table(id),
                ..
            }) => Some(*id),
            _ => None,
        }
    }

    /// How far behind the watermark of its input the rows can be that it puts out, in milliseconds.
    pub fn holds_back_ms(&self) -> i64 {
        match self {
            Self::Join(join) => join.holds_back_ms(),
            _ => 0,
        }
    }
}

/// A window over a time column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSpec {
    /// Index of the time column in the input.
    pub time_column: usize,
    /// Which time that is.
    pub domain: TimeDomain,
    /// How time is cut.
    pub kind: WindowKind,
}

/// How time is cut into windows.
#[allow(missing_docs, reason = "a variant's own text names its fields")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows `[k * size + offset, (k + 1) * size + offset)` in milliseconds.
    Tumble { size_ms: i64, offset_ms: i64 },
    /// Windows `[k * slide + offset, k * slide + size + offset)`; the size is a multiple of the slide.
    Hop {
        size_ms: i64,
        slide_ms: i64,
        offset_ms: i64,
    },
    /// Windows `[k * size + offset, k * size + i * step + offset)` for each i up to `size / step`; the
    /// size is a multiple of the step.
    Cumulate {
        size_ms: i64,
        step_ms: i64,
        offset_ms: i64,
    },
    /// Windows that grow with their rows: of rows with the same values in the columns `partition` of
    /// the input, those at most `gap_ms` apart are in one. `touching`: whether rows exactly so far
    /// apart are; results of windows are not, as the watermark comes between any two of them.
    Session {
        gap_ms: i64,
        partition: Vec<usize>,
        touching: bool,
    },
    /// Of rows that are results of such windows: each is in its own window only, which ends 1 ms after
    /// its time.
    Same(Box<WindowKind>),
}

/// Grouped aggregation per window. Output columns: `window_start`, `window_end` (TIMESTAMP(3)),
/// `window_time` (type of the time column: end - 1 ms), one per key, one per aggregate, and, if
/// `grouping_id`, a BIGINT whose bit i (from the last key) is set when that key is not in the set.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowAggregate {
    /// The window.
    pub window: WindowSpec,
    /// Input columns to group by, besides the window.
    pub keys: Vec<usize>,
    /// Indices into `keys`; a plain GROUP BY has one set with all of them.
    pub grouping_sets: Vec<Vec<usize>>,
    /// What is computed for each group.
    pub aggregates: Vec<AggregateCall>,
    /// Whether GROUPING or GROUPING_ID is asked for.
    pub grouping_id: bool,
    /// Names of the sinks that its rows go to: `late_for` of rows that come late.
    pub query: String,
    /// How long after its end a window takes rows in and is put out again, in milliseconds.
    pub allowed_lateness_ms: i64,
    /// How often results of windows that have not ended are put out, in processing time, in
    /// milliseconds; none: they are not.
    pub early_delay_ms: Option<i64>,
}

/// One aggregate of a [`WindowAggregate`].
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// Which.
    pub function: AggregateFunction,
    /// The function itself, for [`AggregateFunction::Native`].
    pub native: Option<Named<dyn function::AggregateFunction>>,
    /// Input column of its argument; none for `COUNT(*)`. An aggregate of two values takes them as
    /// one `ROW`.
    pub argument: Option<usize>,
    /// Its constant arguments, see [`AggregateFunction`].
    pub parameters: Vec<Literal>,
    /// Input column (BOOLEAN) of `FILTER (WHERE …)`.
    pub filter: Option<usize>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// Type of the result; SUM and AVG have the argument's type, as in Flink.
    pub data_type: DataType,
}

impl AggregateCall {
    /// What EXPLAIN shows, given the input's columns.
    fn text(&self, input: &Schema) -> String {
        let name = |column: &usize| input.field(*column).name().as_str();
        let argument = self.argument.as_ref().map_or("*", name);
        let parameters = self.parameters.iter();
        let parameters: String = parameters.map(|p| format!(", {p}")).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let filter = self.filter.as_ref().map(name);
        let filter = filter.map_or(String::new(), |f| format!(" FILTER {f}"));
        let native = self.native.as_ref().map(|native| native.name.to_string());
        let function = native.unwrap_or_else(|| self.function.to_string());
        format!("{function}({distinct}{argument}{parameters}){filter}")
    }
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// `COUNT(*)`, `COUNT(x)`
    Count,
    /// `SUM(x)`
    Sum,
    /// `MIN(x)`
    Min,
    /// `MAX(x)`
    Max,
    /// `AVG(x)`; of integers, an integer (towards zero).
    Avg,
    /// `VAR_POP(x)`; variances and deviations have the type of `AVG(x)`.
    VarPop,
    /// `VAR_SAMP(x)`; of one value, null.
    VarSamp,
    /// `STDDEV_POP(x)`
    StddevPop,
    /// `STDDEV_SAMP(x)`; of one value, null.
    StddevSamp,
    /// `FIRST_VALUE(x)`: the value that is not null of the first row, see [`Self::is_ordered`].
    FirstValue,
    /// `LAST_VALUE(x)`
    LastValue,
    /// `LISTAGG(x, separator)`; parameters: the separator.
    ListAgg,
    /// `ARRAY_AGG(x)`; parameters: whether nulls are left out.
    ArrayAgg,
    /// `COLLECT(x)`: each value with how often it came, as `MAP<x, INT>`.
    Collect,
    /// `APPROX_COUNT_DISTINCT(x)`
    ApproxCountDistinct,
    /// `PERCENTILE(x, p)` of DOUBLE, or of `ROW<x DOUBLE, frequency BIGINT>`; parameters: the
    /// percentages. The result is an array if its type is one.
    Percentile,
    /// A function that the embedding program brings.
    Native,
}

impl AggregateFunction {
    /// Whether the result depends on the order of the rows. They are ordered by event time; rows of
    /// one time by their split, then by their place in it. Rows that come from no split (results of
    /// windows) are ordered by event time, then by value.
    pub fn is_ordered(self) -> bool {
        matches!(
            self,
            Self::FirstValue | Self::LastValue | Self::ListAgg | Self::ArrayAgg
        )
    }
}

/// A table that is written.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkPlan {
    /// Position in [`Plan::sinks`].
    pub id: SinkId,
    /// The table's name.
    pub table: String,
    /// Where the rows go.
    pub connector: ConnectorConfig,
    /// Its columns.
    pub schema: SchemaRef,
    /// Columns of `PRIMARY KEY … NOT ENFORCED`; empty: rows are appended.
    pub primary_key: Vec<usize>,
    /// What its rows are.
    pub role: SinkRole,
}

/// What a sink's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkRole {
    /// Results of INSERT INTO.
    Results,
    /// Late rows.
    LateEvents,
    /// Undecodable records.
    DeadLetters,
}

impl SourcePlan {
    /// The physical columns that anything reads, those that only late rows need included: what a
    /// generator makes.
    pub fn generated(&self) -> SchemaRef {
        let mut fields: Vec<Arc<Field>> = self.shape.decoded.fields().iter().cloned().collect();
        let late = self.late_events.iter();
        for field in late.flat_map(|late| late.shape.decoded.fields()) {
            let known = fields.iter().position(|known| known.name() == field.name());
            match known {
                // Late rows have all fields of a ROW, of which the queries may read some only.
                Some(index) => fields[index] = field.clone(),
                None => fields.push(field.clone()),
            }
        }
        Arc::new(Schema::new(fields))
    }
}

impl Plan {
    /// A hash of the plan's text: equal for plans that compute the same from the same tables.
    pub fn fingerprint(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.to_string().as_bytes())
    }

    /// Columns that flow into a node from `input`.
    pub fn input_schema(&self, input: NodeInput) -> SchemaRef {
        match input {
            NodeInput::Source(id) => self.sources[id.index()].shape.schema(),
            NodeInput::Node(id) => self.nodes[id.index()].schema.clone(),
        }
    }

    /// Columns that flow into a node, by port.
    pub fn input_schemas(&self, node: &Node) -> Vec<SchemaRef> {
        let inputs = node.inputs.iter();
        inputs.map(|input| self.input_schema(*input)).collect()
    }

    /// The columns of both sides of a join.
    pub fn join_schemas(&self, node: &Node, join: &Join) -> [SchemaRef; 2] {
        let left = self.input_schema(node.inputs[0]);
        let right = match &join.on {
            JoinOn::Table(id) => self.tables[id.index()].schema(),
            JoinOn::Window { .. } | JoinOn::Interval { .. } => self.input_schema(node.inputs[1]),
        };
        [left, right]
    }

    fn join_text(&self, node: &Node, join: &Join) -> String {
        let [left, right] = self.join_schemas(node, join);
        join.text(&left, &right)
    }

    /// Nodes fed by `input` and the ports that it comes in at, in order.
    pub fn consumers(&self, input: NodeInput) -> impl Iterator<Item = (&Node, usize)> {
        self.nodes.iter().flat_map(move |node| {
            let inputs = node.inputs.iter().enumerate();
            let ports = inputs.filter(move |(_, from)| **from == input);
            ports.map(move |(port, _)| (node, port))
        })
    }
}

impl WindowAggregate {
    /// The output columns, given the input's and the keys' names.
    pub fn output_schema(&self, input: &Schema, aggregate_names: &[String]) -> SchemaRef {
        let time_type = input.field(self.window.time_column).data_type().clone();
        let mut fields = vec![
            Field::new("window_start", timestamp(3), true),
            Field::new("window_end", timestamp(3), true),
            Field::new("window_time", time_type, true),
        ];
        fields.extend(
            self.keys
                .iter()
                .map(|key| input.field(*key).clone().with_nullable(true)),
        );
        let aggregates = self.aggregates.iter().zip(aggregate_names);
        fields
            .extend(aggregates.map(|(call, name)| Field::new(name, call.data_type.clone(), true)));
        if self.grouping_id {
            fields.push(Field::new("grouping_id", DataType::Int64, true));
        }
        Arc::new(Schema::new(fields))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(f, "{}", table.text())?;
        }
        for source in &self.sources {
            writeln!(f, "{source}")?;
            for (node, port) in self.consumers(NodeInput::Source(source.id)) {
                self.fmt_node(f, (node, port), 1)?;
            }
        }
        for sink in self.sinks.iter().filter(|s| s.role != SinkRole::Results) {
            let role = match sink.role {
                SinkRole::LateEvents => "late events",
                _ => "dead letters",
            };
            writeln!(f, "{role} {sink}")?;
        }
        Ok(())
    }
}

impl Plan {
    /// A node with several inputs stands, by its number, under each of them; what follows it stands
    /// under the last.
    fn fmt_node(
        &self,
        f: &mut fmt::Formatter<'_>,
        (node, port): (&Node, usize),
        depth: usize,
    ) -> fmt::Result {
        write!(f, "{:indent$}", "", indent = depth * 2)?;
        if node.inputs.len() > 1 {
            write!(f, "#{} input {port}", node.id)?;
            if port + 1 < node.inputs.len() {
                return writeln!(f);
            }
            f.write_str(": ")?;
        }
        writeln!(f, "{}", self.step_text(node))?;
        for next in self.consumers(NodeInput::Node(node.id)) {
            self.fmt_node(f, next, depth + 1)?;
        }
        Ok(())
    }
}

fn named(expr: &Expr, name: &str) -> String {
    let text = expr.to_string();
    if text == name {
        text
    } else {
        format!("{text} AS {name}")
    }
}

impl fmt::Display for SourcePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {} ({}) [", self.table, self.connector.connector)?;
        let schema = self.shape.schema();
        let columns: Vec<String> = columns_text(&schema);
        write!(f, "{}]", columns.join(", "))?;
        for (name, expr) in &self.shape.computed {
            write!(f, " {name} := {expr}")?;
        }
        if let Some(spec) = &self.event_time {
            let column = schema.field(spec.column).name();
            write!(f, " watermark {column} - {} ms", spec.delay_ms)?;
        }
        Ok(())
    }
}

impl fmt::Display for SinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = columns_text(&self.schema).join(", ");
        write!(
            f,
            "{} ({}) [{columns}]",
            self.table, self.connector.connector
        )?;
        if !self.primary_key.is_empty() {
            let names: Vec<&String> = self
                .primary_key
                .iter()
                .map(|index| self.schema.field(*index).name())
                .collect();
            write!(f, " primary key ({})", Joined(&names))?;
        }
        Ok(())
    }
}

fn columns_text(schema: &Schema) -> Vec<String> {
    let fields = schema.fields().iter();
    fields
        .map(|field| format!("{} {}", field.name(), sql_name(field.data_type())))
        .collect()
}

struct WindowText<'a>(&'a WindowSpec, &'a Schema);

impl fmt::Display for WindowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.1.field(self.0.time_column).name();
        let mut kind = &self.0.kind;
        while let WindowKind::Same(inner) = kind {
            f.write_str("same ")?;
            kind = inner;
        }
        let offset = match kind {
            WindowKind::Tumble { size_ms, offset_ms } => {
                write!(f, "tumble({column}, {size_ms} ms")?;
                *offset_ms
            }
            WindowKind::Hop {
                size_ms,
                slide_ms,
                offset_ms,
            } => {
                write!(f, "hop({column}, slide {slide_ms} ms, size {size_ms} ms")?;
                *offset_ms
            }
            WindowKind::Cumulate {
                size_ms,
                step_ms,
                offset_ms,
            } => {
                write!(f, "cumulate({column}, step {step_ms} ms, size {size_ms} ms")?;
                *offset_ms
            }
            WindowKind::Session {
                gap_ms,
                partition,
                touching,
            } => {
                let name = |column: &usize| self.1.field(*column).name();
                let names: Vec<&String> = partition.iter().map(name).collect();
                write!(
                    f,
                    "session({column} of [{}], gap {gap_ms} ms",
                    Joined(&names)
                )?;
                if !touching {
                    f.write_str(", of results")?;
                }
                0
            }
            WindowKind::Same(_) => 0,
        };
        if offset != 0 {
            write!(f, ", offset {offset} ms")?;
        }
        f.write_str(match self.0.domain {
            TimeDomain::Event => ")",
            TimeDomain::Processing => ", processing time)",
        })
    }
}

struct AggregateText<'a>(&'a WindowAggregate, &'a Schema, &'a Schema);

impl fmt::Display for AggregateText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(aggregate, input, output) = self;
        let name = |column: &usize| input.field(*column).name().as_str();
        let keys: Vec<&str> = aggregate.keys.iter().map(name).collect();
        write!(f, "aggregate {}", WindowText(&aggregate.window, input))?;
        write!(f, " by [{}]", keys.join(", "))?;
        if aggregate.allowed_lateness_ms > 0 {
            write!(f, " allowed lateness {} ms", aggregate.allowed_lateness_ms)?;
        }
        if let Some(delay_ms) = aggregate.early_delay_ms {
            write!(f, " early results every {delay_ms} ms")?;
        }
        if aggregate.grouping_sets.len() != 1 || aggregate.grouping_sets[0].len() != keys.len() {
            let sets: Vec<String> = aggregate
                .grouping_sets
                .iter()
                .map(|set| {
                    let names: Vec<&str> = set.iter().map(|index| keys[*index]).collect();
                    format!("({})", names.join(", "))
                })
                .collect();
            write!(f, " sets [{}]", sets.join(", "))?;
        }
        let first = 3 + keys.len();
        let calls: Vec<String> = aggregate
            .aggregates
            .iter()
            .enumerate()
            .map(|(index, call)| {
                let output = output.field(first + index).name();
                format!("{} AS {output}", call.text(input))
            })
            .collect();
        write!(f, " [{}]", calls.join(", "))
    }
}

impl fmt::Display for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Avg => "AVG",
            Self::VarPop => "VAR_POP",
            Self::VarSamp => "VAR_SAMP",
            Self::StddevPop => "STDDEV_POP",
            Self::StddevSamp => "STDDEV_SAMP",
            Self::FirstValue => "FIRST_VALUE",
            Self::LastValue => "LAST_VALUE",
            Self::ListAgg => "LISTAGG",
            Self::ArrayAgg => "ARRAY_AGG",
            Self::Collect => "COLLECT",
            Self::ApproxCountDistinct => "APPROX_COUNT_DISTINCT",
            Self::Percentile => "PERCENTILE",
            Self::Native => "NATIVE",
        })
    }
}
