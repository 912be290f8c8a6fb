//! From the [`Rel`]s of all queries to one [`Plan`].
//!
//! First every query says which columns of which table it needs, then each table becomes a source
//! with those columns, then the steps become nodes over them. A step that only passes columns on
//! becomes no node: [`Emitted::columns`] says where its columns are. Steps that are equal become one
//! node, whichever queries they are of: see `share`, and `merge` for aggregates.

mod filter;
mod join;
mod merge;
mod needs;
mod ordered;
mod share;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::plan::{
    AggregateCall, EventTimeSpec, MetadataColumn, Node, NodeInput, Operator, PipelineOptions, Plan,
    RowShape, SourcePlan, TablePlan, Unnest, WindowAggregate, WindowKind, WindowSpec,
};
use millstream_core::{NodeId, SinkId, SourceId};

use crate::catalog::{Catalog, Table, TableColumnKind};
use crate::diagnostic::{Fault, Place, Result};
use crate::fields;
use crate::lateness;
use crate::rel::{GroupBy, Rel, Step, UnnestSpec, natural_name};
use crate::settings::Settings;
use crate::sinks::Sinks;
use needs::{Needs, needs_of_input};
use share::Shared;

/// A bound query and where its rows go.
#[derive(Clone)]
pub(crate) struct Query {
    /// Its steps; with a sink, the columns are the sink's.
    pub rel: Rel,
    /// The table that it writes, by position; none for EXPLAIN of a query.
    pub sink: Option<usize>,
    /// What late rows say that dropped them.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// Makes the plan of `queries`.
pub(crate) fn plan(
    queries: &[Query],
    catalog: &Catalog,
    settings: &Settings,
    options: PipelineOptions,
) -> Result<Plan> {
    let ttl_ms = settings.state_ttl_ms()?;
    for query in queries {
        query.rel.check_bounded(ttl_ms.is_some())?;
    }
    let queries = &merge::merged(queries);
    for query in queries {
        refuse_bare_sessions(&query.rel, &all(&query.rel), query.place)?;
        refuse_looking_joins(&query.rel, query.place)?;
    }
    let needs = &Needs::of(queries);
    let mut sinks = Sinks::new(catalog);
    let mut emitter = Emitter::new(catalog, needs, ttl_ms);
    for query in queries {
        if let Some(table) = query.sink {
            sinks.results(table);
        }
    }
    for table in &needs.order {
        let columns = &needs.columns[table];
        let declared = &catalog.tables[*table];
        let (shape, positions) = shape(declared, columns);
        let event_time = event_time(declared, &positions, settings)?;
        let late = needs.windowed.contains(table) && event_time.is_some();
        let id = SourceId(index(emitter.sources.len()));
        emitter.positions.insert(*table, (id, positions));
        emitter.sources.push(SourcePlan {
            id,
            table: declared.name.clone(),
            connector: declared.connector.clone(),
            shape,
            filter: None,
            event_time,
            late_events: if late {
                sinks.late_events(*table, settings)?
            } else {
                None
            },
            dead_letters: sinks.dead_letters(*table, settings)?,
        });
    }
    for query in queries {
        emitter.query.clone_from(&query.name);
        let input = emitter.emit_root(&query.rel);
        if let Some(table) = query.sink {
            let sink = sinks.results(table);
            let schema = sinks.schema(sink);
            emitter.push(input, Operator::Sink(sink), schema);
        }
    }
    emitter.shared.name(&mut emitter.nodes);
    let mut plan = Plan {
        sources: emitter.sources,
        tables: emitter.tables,
        nodes: emitter.nodes,
        sinks: sinks.into_plans(),
        options,
    };
    fields::narrow(&mut plan);
    filter::tell_sources(&mut plan);
    settings.check_late()?;
    lateness::apply(&mut plan, catalog, settings)?;
    lateness::apply_early(&mut plan, catalog, settings)?;
    Ok(plan)
}

pub(crate) fn index(position: usize) -> u32 {
    u32::try_from(position).expect("a script is not that long")
}

fn all(rel: &Rel) -> BTreeSet<usize> {
    (0..rel.fields.len()).collect()
}

/// Refuses sessions that are assigned to rows, which would have to wait for their session's end.
fn refuse_bare_sessions(rel: &Rel, needed: &BTreeSet<usize>, place: Place) -> Result<()> {
    let of_input = needs_of_input(rel, needed);
    let input = match &rel.step {
        Step::Scan(_) => return Ok(()),
        Step::Union(inputs) => {
            let mut inputs = inputs.iter();
            return inputs.try_for_each(|input| refuse_bare_sessions(input, &of_input, place));
        }
        Step::Join(left, right, spec) => {
            let [of_left, of_right] = join::needs_of_join((left, spec), needed);
            refuse_bare_sessions(left, &of_left, place)?;
            return refuse_bare_sessions(right, &of_right, place);
        }
        Step::Window(input, window) => {
            let width = input.fields.len();
            let is_session = matches!(window.kind, WindowKind::Session { .. });
            if is_session && needed.iter().any(|index| *index >= width) {
                let what = "`SESSION` without GROUP BY window_start, window_end, or with a \
                            condition on them before it, is";
                return Err(Fault::unsupported(place, what).help("use HAVING"));
            }
            input
        }
        Step::Filter(input, _)
        | Step::Project(input, _)
        | Step::Aggregate(input, _)
        | Step::Unnest(input, _)
        | Step::Rank(input, _)
        | Step::Over(input, _) => input,
    };
    refuse_bare_sessions(input, &of_input, place)
}

/// Refuses joins and UNNEST whose own expressions look at more than rows.
fn refuse_looking_joins(rel: &Rel, place: Place) -> Result<()> {
    let mut open = vec![rel];
    while let Some(rel) = open.pop() {
        let exprs = match &rel.step {
            Step::Join(..) | Step::Unnest(..) => rel.exprs(),
            _ => vec![],
        };
        if exprs.iter().any(|expr| expr.looks(|_| true)) {
            let what = "a function of time or chance in a join or in UNNEST is";
            let fault = Fault::unsupported(place, what);
            return Err(fault.help("compute it in the SELECT of a subquery"));
        }
        open.extend(rel.inputs());
    }
    Ok(())
}

/// The source's columns, and where each column of the table is among them.
pub(crate) fn shape(table: &Table, needed: &BTreeSet<usize>) -> (RowShape, Vec<Option<usize>>) {
    let mut needed = needed.clone();
    needed.extend(table.watermark.as_ref().map(|watermark| watermark.column));
    for column in needed.clone() {
        if let TableColumnKind::Computed(expr) = &table.columns[column].kind {
            expr.for_each_column(&mut |index| needed.extend([index]));
        }
    }
    let mut positions = vec![None; table.columns.len()];
    let mut next = 0;
    let mut place = |column: usize, positions: &mut Vec<Option<usize>>| {
        positions[column] = Some(next);
        next += 1;
    };
    let mut decoded = vec![];
    for column in &needed {
        let declared = &table.columns[*column];
        if declared.kind == TableColumnKind::Physical {
            decoded.push(Field::new(&declared.name, declared.data_type.clone(), true));
            place(*column, &mut positions);
        }
    }
    let mut metadata = vec![];
    for column in &needed {
        let declared = &table.columns[*column];
        if let TableColumnKind::Metadata { key, .. } = &declared.kind {
            metadata.push(MetadataColumn {
                name: declared.name.clone(),
                key: key.clone(),
                data_type: declared.data_type.clone(),
            });
            place(*column, &mut positions);
        }
    }
    let mut computed = vec![];
    for column in &needed {
        let declared = &table.columns[*column];
        if let TableColumnKind::Computed(expr) = &declared.kind {
            let mut expr = expr.clone();
            expr.map_columns(&|index| positions[index].expect("added to the needed ones"));
            computed.push((declared.name.clone(), expr));
            place(*column, &mut positions);
        }
    }
    let decoded = Arc::new(Schema::new(decoded));
    let shape = RowShape {
        decoded,
        metadata,
        computed,
    };
    (shape, positions)
}

fn event_time(
    table: &Table,
    positions: &[Option<usize>],
    settings: &Settings,
) -> Result<Option<EventTimeSpec>> {
    let Some(watermark) = &table.watermark else {
        return Ok(None);
    };
    let of_all = settings.idle_timeout_ms()?;
    let idle_timeout_ms = table.idle_timeout_ms.filter(|ms| *ms > 0).or(of_all);
    Ok(Some(EventTimeSpec {
        column: positions[watermark.column].expect("the watermark's column is always needed"),
        delay_ms: watermark.delay_ms,
        idle_timeout_ms,
    }))
}

/// Makes sources and nodes.
struct Emitter<'a> {
    catalog: &'a Catalog,
    needs: &'a Needs,
    tables: Vec<TablePlan>,
    sources: Vec<SourcePlan>,
    nodes: Vec<Node>,
    shared: Shared,
    /// For each table its source and where its columns are.
    positions: BTreeMap<usize, (SourceId, Vec<Option<usize>>)>,
    /// Name of the query that is emitted.
    query: String,
    /// `table.exec.state.ttl`
    ttl_ms: Option<i64>,
}

/// Where the columns of a step are.
struct Emitted {
    input: NodeInput,
    /// For each column of the step its position in `input`; none if nobody needs it.
    columns: Vec<Option<usize>>,
}

impl Emitted {
    fn position(&self, column: usize) -> usize {
        self.columns[column].expect("whoever reads a column needs it")
    }

    /// `expr` over the columns of `input`, whose schema is given: names are those of there.
    fn over(&self, expr: &Expr, schema: &Schema) -> Expr {
        let mut expr = expr.clone();
        expr.map_columns(&|index| self.position(index));
        rename_columns(&mut expr, schema);
        expr
    }
}

fn rename_columns(expr: &mut Expr, schema: &Schema) {
    if let ExprKind::Column { index, name } = &mut expr.kind {
        name.clone_from(schema.field(*index).name());
    }
    for child in expr.children_mut() {
        rename_columns(child, schema);
    }
}

impl<'a> Emitter<'a> {
    fn new(catalog: &'a Catalog, needs: &'a Needs, ttl_ms: Option<i64>) -> Self {
        Self {
            catalog,
            needs,
            tables: vec![],
            sources: vec![],
            nodes: vec![],
            shared: Shared::default(),
            positions: BTreeMap::new(),
            query: String::new(),
            ttl_ms,
        }
    }

    fn push(&mut self, input: NodeInput, operator: Operator, schema: SchemaRef) -> NodeInput {
        self.push_all(vec![input], operator, schema)
    }

    fn push_all(
        &mut self,
        inputs: Vec<NodeInput>,
        operator: Operator,
        schema: SchemaRef,
    ) -> NodeInput {
        let step = (&*inputs, &operator, &*schema);
        if let Some(id) = self.shared.find(step, &self.tables, &self.query) {
            if let Some(table) = operator.table() {
                // It was made for this join, which is not needed.
                self.tables.truncate(table.index());
            }
            return NodeInput::Node(id);
        }
        let id = NodeId(index(self.nodes.len()));
        self.nodes.push(Node {
            id,
            inputs,
            operator,
            schema,
        });
        NodeInput::Node(id)
    }

    fn schema(&self, input: NodeInput) -> SchemaRef {
        match input {
            NodeInput::Source(id) => self.sources[id.0 as usize].shape.schema(),
            NodeInput::Node(id) => self.nodes[id.index()].schema.clone(),
        }
    }

    /// Emits a whole query: its columns, all and in order.
    fn emit_root(&mut self, rel: &Rel) -> NodeInput {
        self.emit_exactly(rel, &all(rel))
    }

    /// Emits `rel` with the columns `needed` and no others, in order.
    fn emit_exactly(&mut self, rel: &Rel, needed: &BTreeSet<usize>) -> NodeInput {
        let emitted = self.emit(rel, needed);
        let schema = self.schema(emitted.input);
        let in_place = |(position, index): (usize, &usize)| {
            let name = &rel.fields[*index].0;
            emitted.columns[*index] == Some(position) && schema.field(position).name() == name
        };
        let same_width = schema.fields().len() == needed.len();
        if same_width && needed.iter().enumerate().all(in_place) {
            return emitted.input;
        }
        let exprs = needed.iter().map(|index| {
            let position = emitted.position(*index);
            let field = schema.field(position);
            Expr::column(position, field.name(), field.data_type().clone())
        });
        let exprs = exprs.collect();
        let fields: Vec<_> = needed.iter().map(|it| rel.fields[*it].clone()).collect();
        self.push(emitted.input, Operator::Project(exprs), schema_of(&fields))
    }

    fn emit(&mut self, rel: &Rel, needed: &BTreeSet<usize>) -> Emitted {
        let needed = &self.needs.of_step(rel, needed);
        let of_input = needs_of_input(rel, needed);
        match &rel.step {
            Step::Scan(table) => {
                let (id, columns) = &self.positions[table];
                Emitted {
                    input: NodeInput::Source(*id),
                    columns: columns.clone(),
                }
            }
            Step::Filter(input, predicate) => {
                let mut emitted = self.emit(input, &of_input);
                let schema = self.schema(emitted.input);
                let predicate = emitted.over(predicate, &schema);
                emitted.input = self.push(emitted.input, Operator::Filter(predicate), schema);
                emitted
            }
            Step::Project(input, exprs) => {
                let emitted = self.emit(input, &of_input);
                self.emit_project(&emitted, exprs, (needed, &rel.fields))
            }
            Step::Window(input, window) => {
                let emitted = self.emit(input, &of_input);
                self.emit_window(emitted, window, (needed, input.fields.len()))
            }
            Step::Aggregate(input, group_by) => {
                let emitted = self.emit(input, &of_input);
                self.emit_aggregate(&emitted, group_by, &rel.fields)
            }
            Step::Union(inputs) => self.emit_union(inputs, needed, &rel.fields),
            Step::Join(left, right, spec) => {
                self.emit_join((left, right), spec, (needed, &rel.fields))
            }
            Step::Unnest(input, spec) => {
                let emitted = self.emit(input, &of_input);
                self.emit_unnest(&emitted, spec, (needed, &rel.fields))
            }
            Step::Rank(input, by) => {
                let emitted = self.emit(input, &of_input);
                self.emit_rank(&emitted, by, (needed, &rel.fields))
            }
            Step::Over(input, by) => {
                let emitted = self.emit(input, &of_input);
                self.emit_over(&emitted, by, (needed, &rel.fields))
            }
        }
    }

    fn emit_union(
        &mut self,
        inputs: &[Rel],
        needed: &BTreeSet<usize>,
        fields: &[(String, DataType)],
    ) -> Emitted {
        let inputs = inputs.iter();
        let inputs = inputs.map(|input| self.emit_exactly(input, needed));
        let inputs = inputs.collect();
        let mut columns = vec![None; fields.len()];
        for (position, index) in needed.iter().enumerate() {
            columns[*index] = Some(position);
        }
        let fields: Vec<_> = needed.iter().map(|it| fields[*it].clone()).collect();
        Emitted {
            input: self.push_all(inputs, Operator::Union, schema_of(&fields)),
            columns,
        }
    }

    fn emit_unnest(
        &mut self,
        emitted: &Emitted,
        spec: &UnnestSpec,
        (needed, fields): (&BTreeSet<usize>, &[(String, DataType)]),
    ) -> Emitted {
        let width = emitted.columns.len();
        let schema = self.schema(emitted.input);
        let kept: Vec<usize> = needed.range(..width).copied().collect();
        let mut columns = vec![None; fields.len()];
        for (position, index) in kept.iter().copied().chain(width..fields.len()).enumerate() {
            columns[index] = Some(position);
        }
        let output: Vec<_> = kept.iter().copied().chain(width..fields.len()).collect();
        let output: Vec<_> = output.into_iter().map(|it| fields[it].clone()).collect();
        let operator = Operator::Unnest(Unnest {
            keep: kept.iter().map(|index| emitted.position(*index)).collect(),
            array: emitted.over(&spec.array, &schema),
            ordinality: spec.ordinality,
            outer: spec.outer,
        });
        Emitted {
            input: self.push(emitted.input, operator, schema_of(&output)),
            columns,
        }
    }

    fn emit_project(
        &mut self,
        emitted: &Emitted,
        exprs: &[Expr],
        (needed, fields): (&BTreeSet<usize>, &[(String, DataType)]),
    ) -> Emitted {
        let mut columns = vec![None; exprs.len()];
        if needed
            .iter()
            .all(|index| exprs[*index].as_column().is_some())
        {
            for index in needed {
                let column = exprs[*index].as_column().expect("checked above");
                columns[*index] = Some(emitted.position(column));
            }
            return Emitted {
                input: emitted.input,
                columns,
            };
        }
        let input_schema = self.schema(emitted.input);
        let kept = needed.iter().enumerate().map(|(position, index)| {
            columns[*index] = Some(position);
            (
                fields[*index].clone(),
                emitted.over(&exprs[*index], &input_schema),
            )
        });
        let (fields, exprs): (Vec<_>, Vec<_>) = kept.unzip();
        let schema = schema_of(&fields);
        Emitted {
            input: self.push(emitted.input, Operator::Project(exprs), schema),
            columns,
        }
    }

    fn emit_window(
        &mut self,
        emitted: Emitted,
        window: &WindowSpec,
        (needed, width): (&BTreeSet<usize>, usize),
    ) -> Emitted {
        let mut columns = emitted.columns.clone();
        columns.extend([None; 3]);
        if needed.iter().all(|index| *index < width) {
            return Emitted {
                input: emitted.input,
                columns,
            };
        }
        let schema = self.schema(emitted.input);
        let time_column = emitted.position(window.time_column);
        let mut fields: Vec<(String, DataType)> = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect();
        let first = fields.len();
        let timestamp = millstream_core::types::timestamp(3);
        fields.push(("window_start".to_owned(), timestamp.clone()));
        fields.push(("window_end".to_owned(), timestamp));
        fields.push(("window_time".to_owned(), fields[time_column].1.clone()));
        for part in 0..3 {
            columns[width + part] = Some(first + part);
        }
        let window = WindowSpec {
            time_column,
            domain: window.domain,
            kind: window.kind.clone(),
        };
        let operator = Operator::AssignWindow(window);
        Emitted {
            input: self.push(emitted.input, operator, schema_of(&fields)),
            columns,
        }
    }

    fn emit_aggregate(
        &mut self,
        emitted: &Emitted,
        group_by: &GroupBy,
        fields: &[(String, DataType)],
    ) -> Emitted {
        let mut inputs = AggregateInputs::default();
        let schema = self.schema(emitted.input);
        let position = emitted.position(group_by.window.time_column);
        let field = schema.field(position);
        let time = Expr::column(position, field.name(), field.data_type().clone());
        let time_column = inputs.add(time);
        let mut add = |expr: &Expr| inputs.add(emitted.over(expr, &schema));
        let keys: Vec<usize> = group_by.keys.iter().map(&mut add).collect();
        let calls = group_by.calls.iter().map(|call| AggregateCall {
            function: call.function,
            native: call.native.clone(),
            argument: call.argument.as_ref().map(&mut add),
            parameters: call.parameters.clone(),
            filter: call.filter.as_ref().map(&mut add),
            distinct: call.distinct,
            data_type: call.data_type.clone(),
        });
        let mut aggregate = WindowAggregate {
            window: WindowSpec {
                time_column,
                domain: group_by.window.domain,
                kind: self.kind_over(&group_by.window.kind, &keys, emitted.input),
            },
            keys,
            grouping_sets: group_by.sets.clone(),
            aggregates: calls.collect(),
            grouping_id: group_by.grouping_id,
            query: String::new(),
            allowed_lateness_ms: 0,
            early_delay_ms: None,
        };
        let input = match inputs.all_columns() {
            Some(positions) => {
                aggregate.map_columns(|column| positions[column]);
                emitted.input
            }
            None => {
                let schema = inputs.schema();
                self.push(emitted.input, Operator::Project(inputs.exprs), schema)
            }
        };
        let operator = Operator::WindowAggregate(aggregate);
        Emitted {
            input: self.push(input, operator, schema_of(fields)),
            columns: (0..fields.len()).map(Some).collect(),
        }
    }
}

impl Emitter<'_> {
    /// A window in terms of what comes in: sessions of columns instead of keys.
    fn kind_over(&self, kind: &WindowKind, keys: &[usize], input: NodeInput) -> WindowKind {
        match kind {
            WindowKind::Session {
                gap_ms, partition, ..
            } => WindowKind::Session {
                gap_ms: *gap_ms,
                partition: partition.iter().map(|key| keys[*key]).collect(),
                touching: !self.is_result(input),
            },
            kind => kind.clone(),
        }
    }

    /// Whether rows come out at barriers, by way of what is remembered.
    fn is_result(&self, input: NodeInput) -> bool {
        let NodeInput::Node(id) = input else {
            return false;
        };
        let node = &self.nodes[id.index()];
        node.operator.is_stateful() || node.inputs.iter().any(|input| self.is_result(*input))
    }
}

/// The columns that an aggregate reads, each once.
#[derive(Default)]
struct AggregateInputs {
    exprs: Vec<Expr>,
}

impl AggregateInputs {
    fn add(&mut self, expr: Expr) -> usize {
        let known = self.exprs.iter().position(|known| *known == expr);
        known.unwrap_or_else(|| {
            self.exprs.push(expr);
            self.exprs.len() - 1
        })
    }

    /// Their positions in the input, if none has to be computed.
    fn all_columns(&self) -> Option<Vec<usize>> {
        self.exprs.iter().map(Expr::as_column).collect()
    }

    fn schema(&self) -> SchemaRef {
        let mut fields: Vec<(String, DataType)> = vec![];
        for (index, expr) in self.exprs.iter().enumerate() {
            let name = natural_name(expr).filter(|name| fields.iter().all(|(n, _)| n != name));
            let name = name.unwrap_or_else(|| format!("expr_{index}"));
            fields.push((name, expr.data_type.clone()));
        }
        schema_of(&fields)
    }
}

trait MapColumns {
    /// Replaces each column of the input by another.
    fn map_columns(&mut self, map: impl Fn(usize) -> usize);
}

impl MapColumns for WindowAggregate {
    fn map_columns(&mut self, map: impl Fn(usize) -> usize) {
        self.window.time_column = map(self.window.time_column);
        if let WindowKind::Session { partition, .. } = &mut self.window.kind {
            for column in partition {
                *column = map(*column);
            }
        }
        for key in &mut self.keys {
            *key = map(*key);
        }
        for call in &mut self.aggregates {
            call.argument = call.argument.map(&map);
            call.filter = call.filter.map(&map);
        }
    }
}

pub(crate) fn schema_of(fields: &[(String, DataType)]) -> SchemaRef {
    let fields = fields
        .iter()
        .map(|(name, data_type)| Field::new(name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The id of a sink at a position.
pub(crate) fn sink_id(position: usize) -> SinkId {
    SinkId(index(position))
}
