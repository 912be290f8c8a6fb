//! What the state of an operator depends on, as a hash: equal hashes mean that one plan can take over the
//! state of another.
//!
//! It goes by what is computed, not by names and places: each column is a hash of how it comes about, down to
//! the columns of tables, and the rows of a step are a hash of what decided that they are there. So views,
//! aliases, the order of queries and columns that only others read do not matter. Filters before an
//! operator do, and so does what it does itself.
//!
//! Left out on purpose: names of sinks, early results (they are in no checkpoint), the allowed lateness
//! (compared as a number), idle timeouts. Put in although the meaning would be the same: the columns of
//! rows that are kept as a whole, with their order, and the numbers of sources by which rows are ordered.

use arrow::datatypes::Schema;
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::plan::{
    AggregateCall, Join, JoinKind, JoinOn, Node, NodeInput, Operator, OverCall, Plan, SinkPlan,
    SortKey, SourcePlan, WindowAggregate, WindowKind, WindowSpec,
};
use millstream_core::types::sql_name;
use millstream_core::{NodeId, Result, SourceId, TimeDomain};
use xxhash_rust::xxh3::xxh3_64;

use super::description::{
    OperatorDescription, PlanDescription, SinkDescription, SourceDescription,
};

/// Options that say where the rows of a table are.
const PLACES: [&str; 5] = [
    "topic",
    "path",
    "url",
    "table-name",
    "properties.bootstrap.servers",
];
/// Options of tables that make their rows up which do not say what the rows are.
const PACES: [&str; 2] = ["rows-per-second", "number-of-rows"];

/// Describes `plan`.
pub fn describe(plan: &Plan) -> Result<PlanDescription> {
    let lineage = Lineage::of(plan);
    let operators = plan.nodes.iter().filter(|node| node.operator.is_stateful());
    let operators = operators.map(|node| OperatorDescription {
        node: node.id,
        fingerprint: lineage.nodes[node.id.index()].rows.clone(),
        allowed_lateness_ms: match &node.operator {
            Operator::WindowAggregate(aggregate) => aggregate.allowed_lateness_ms,
            _ => 0,
        },
        text: plan.step_text(node),
        aspects: plan.aspects(node),
        sinks: sinks_after(plan, node.id),
    });
    let sources = plan.sources.iter().map(|source| SourceDescription {
        table: source.table.clone(),
        place: place(source),
        watermark: watermark_text(source),
        watermark_fingerprint: lineage.watermarks[source.id.index()].clone(),
    });
    let sinks = plan.sinks.iter().map(|sink| {
        let fields = sink.schema.fields().iter();
        let columns = fields.map(|it| format!("{} {}", it.name(), sql_name(it.data_type())));
        SinkDescription::new(sink, columns.collect(), lineage.of_sink(plan, sink))
    });
    Ok(PlanDescription {
        operators: operators.collect(),
        sources: sources.collect(),
        sinks: sinks.collect::<Result<_>>()?,
    })
}

/// The tables that the rows of a node go to, in order.
pub fn sinks_after(plan: &Plan, node: NodeId) -> Vec<String> {
    let mut reached = vec![false; plan.nodes.len()];
    reached[node.index()] = true;
    let mut sinks = vec![];
    // Nodes stand in topological order.
    for next in &plan.nodes[node.index()..] {
        let is_fed = next.inputs.iter().any(|input| match input {
            NodeInput::Node(id) => reached[id.index()],
            NodeInput::Source(_) => false,
        });
        reached[next.id.index()] |= is_fed;
        if let (true, Operator::Sink(id)) = (is_fed, &next.operator) {
            sinks.push(plan.sinks[id.index()].table.clone());
        }
    }
    sinks
}

fn place(source: &SourcePlan) -> String {
    let is_made_up = source.connector.get("format").is_none();
    let says_where = |key: &str| match is_made_up {
        true => !PACES.contains(&key),
        false => PLACES.contains(&key),
    };
    let options = source.connector.options.iter();
    let options = options.filter(|(key, _)| says_where(key));
    let options = options.map(|(key, value)| format!(" '{key}' = '{value}'"));
    let options: String = options.collect();
    format!("{}{options}", source.connector.connector)
}

fn watermark_text(source: &SourcePlan) -> String {
    let Some(spec) = &source.event_time else {
        return String::new();
    };
    let schema = source.shape.schema();
    let name = schema.field(spec.column).name();
    let computed = source
        .shape
        .computed
        .iter()
        .find(|(known, _)| known == name);
    let of = computed.map_or(String::new(), |(_, expr)| format!(" ({expr})"));
    format!("{name}{of} - {} ms", spec.delay_ms)
}

fn digest(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// What a step puts out: what decided that its rows are there, and how each column comes about.
#[derive(Debug, Clone, Default)]
struct Output {
    rows: String,
    columns: Vec<String>,
}

struct Lineage {
    sources: Vec<Output>,
    watermarks: Vec<String>,
    nodes: Vec<Output>,
}

impl Lineage {
    fn of(plan: &Plan) -> Self {
        let mut lineage = Self {
            sources: vec![],
            watermarks: vec![],
            nodes: vec![],
        };
        for source in &plan.sources {
            let columns = source_columns(source);
            let watermark = source.event_time.as_ref().map(|spec| {
                let column = &columns[spec.column];
                digest(&format!("watermark {column} {}", spec.delay_ms))
            });
            let watermark = watermark.unwrap_or_default();
            let rows = digest(&format!("source {} {watermark}", source.table));
            lineage.watermarks.push(watermark);
            lineage.sources.push(Output { rows, columns });
        }
        for node in &plan.nodes {
            let output = lineage.output(plan, node);
            lineage.nodes.push(output);
        }
        lineage
    }

    fn of_input(&self, input: NodeInput) -> &Output {
        match input {
            NodeInput::Source(id) => &self.sources[id.index()],
            NodeInput::Node(id) => &self.nodes[id.index()],
        }
    }

    fn of_sink(&self, plan: &Plan, sink: &SinkPlan) -> String {
        let writes = |node: &&Node| matches!(node.operator, Operator::Sink(id) if id == sink.id);
        let inputs = plan.nodes.iter().filter(writes).map(|node| {
            let Output { rows, columns } = self.of_input(node.inputs[0]);
            format!("{rows} {columns:?}")
        });
        digest(&inputs.collect::<Vec<_>>().join("; "))
    }

    fn output(&self, plan: &Plan, node: &Node) -> Output {
        let input = self.of_input(node.inputs[0]);
        let columns = &input.columns;
        match &node.operator {
            Operator::Filter(predicate) => Output {
                rows: digest(&format!(
                    "filter {} {}",
                    input.rows,
                    of_expr(predicate, columns)
                )),
                columns: columns.clone(),
            },
            Operator::Project(exprs) => Output {
                rows: input.rows.clone(),
                columns: exprs.iter().map(|expr| of_expr(expr, columns)).collect(),
            },
            Operator::AssignWindow(window) => {
                let window = of_window(window, columns);
                let mut columns = columns.clone();
                columns
                    .extend(["start", "end", "time"].map(|it| digest(&format!("{it} {window}"))));
                let rows = digest(&format!("assign {} {window}", input.rows));
                Output { rows, columns }
            }
            Operator::Union => self.union(node),
            Operator::Unnest(unnest) => {
                let array = of_expr(&unnest.array, columns);
                let rows = format!("unnest {} {array} {}", input.rows, unnest.outer);
                let elements = unnest.keep.len()..node.schema.fields().len();
                let elements =
                    elements.map(|at| digest(&format!("{array} {}", at - unnest.keep.len())));
                let kept = unnest.keep.iter().map(|at| columns[*at].clone());
                Output {
                    rows: digest(&rows),
                    columns: kept.chain(elements).collect(),
                }
            }
            Operator::WindowAggregate(aggregate) => self.aggregate(plan, node, aggregate),
            Operator::WindowRank(_) | Operator::Over(_) => {
                self.whole_rows(plan, node, &of_ordered(&node.operator, columns))
            }
            Operator::Join(join) => self.join(plan, node, join),
            Operator::Sink(_) => Output::default(),
        }
    }

    fn union(&self, node: &Node) -> Output {
        let inputs: Vec<&Output> = node.inputs.iter().map(|it| self.of_input(*it)).collect();
        let joined = |texts: Vec<&str>| digest(&format!("union {}", texts.join(" ")));
        let columns = (0..node.schema.fields().len())
            .map(|at| joined(inputs.iter().map(|input| &*input.columns[at]).collect()));
        Output {
            columns: columns.collect(),
            rows: joined(inputs.iter().map(|input| &*input.rows).collect()),
        }
    }

    fn aggregate(&self, plan: &Plan, node: &Node, aggregate: &WindowAggregate) -> Output {
        let Output { rows, columns } = self.of_input(node.inputs[0]);
        let schema = plan.input_schema(node.inputs[0]);
        let window = of_window(&aggregate.window, columns);
        let keys = aggregate.keys.iter();
        let keys: Vec<String> = keys.map(|at| typed(*at, columns, &schema)).collect();
        let calls = aggregate.aggregates.iter();
        let calls: Vec<String> = calls.map(|call| of_call(call, columns, &schema)).collect();
        let is_ordered = aggregate
            .aggregates
            .iter()
            .any(|call| call.function.is_ordered());
        let is_session = matches!(aggregate.window.kind, WindowKind::Session { .. });
        let numbers = match is_ordered || is_session {
            true => format!("{:?}", sources_before(plan, node)),
            false => String::new(),
        };
        let sets = &aggregate.grouping_sets;
        let id = aggregate.grouping_id;
        let rows = digest(&format!(
            "aggregate {rows} {window} {keys:?} {sets:?} {calls:?} {id} {numbers}"
        ));
        of_state(rows, node)
    }

    fn join(&self, plan: &Plan, node: &Node, join: &Join) -> Output {
        let left = &self.of_input(node.inputs[0]).columns;
        let (right, on) = match &join.on {
            JoinOn::Table(id) => {
                let table = &plan.tables[id.index()];
                let schema = table.schema();
                let fields = schema.fields().iter();
                let named = |name: &str| digest(&format!("of table {} {name}", table.source.table));
                let steps = table.steps.iter().map(|step| match &step.operator {
                    Operator::Filter(predicate) => format!("filter {predicate}"),
                    _ => String::new(),
                });
                let steps: Vec<String> = steps.collect();
                let on = format!(
                    "table {} {} {steps:?}",
                    place(&table.source),
                    table.is_refreshed
                );
                (fields.map(|field| named(field.name())).collect(), on)
            }
            JoinOn::Window { left: l, right: r } => {
                let right = self.of_input(node.inputs[1]).columns.clone();
                let on = format!("windows {} {}", left[l[1]], right[r[1]]);
                (right, on)
            }
            JoinOn::Interval {
                left: l,
                right: r,
                lower_ms,
                upper_ms,
                domain,
            } => {
                let right = self.of_input(node.inputs[1]).columns.clone();
                let on = format!(
                    "interval {} {} {lower_ms} {upper_ms} {}",
                    left[*l],
                    right[*r],
                    of_domain(*domain)
                );
                (right, on)
            }
        };
        let keys = join.keys.iter().map(|key| {
            let (l, r) = (of_expr(&key.left, left), of_expr(&key.right, &right));
            format!("{l} {r} {}", key.nulls_equal)
        });
        let keys: Vec<String> = keys.collect();
        let both: Vec<String> = left.iter().chain(&right).cloned().collect();
        let condition = join.condition.as_ref().map(|expr| of_expr(expr, &both));
        let step = format!("join {} {on} {keys:?} {condition:?}", of_join(join.kind));
        self.whole_rows(plan, node, &step)
    }

    /// Of a step that keeps rows as they come in.
    fn whole_rows(&self, plan: &Plan, node: &Node, step: &str) -> Output {
        let inputs = node.inputs.iter().map(|input| {
            let Output { rows, columns } = self.of_input(*input);
            let schema = plan.input_schema(*input);
            let columns = (0..columns.len()).map(|at| typed(at, columns, &schema));
            format!("{rows} {:?}", columns.collect::<Vec<_>>())
        });
        let inputs: Vec<String> = inputs.collect();
        let numbers = sources_before(plan, node);
        of_state(digest(&format!("{step} {inputs:?} {numbers:?}")), node)
    }
}

/// The columns of what comes out of `rows` follow from it, by their names.
fn of_state(rows: String, node: &Node) -> Output {
    let fields = node.schema.fields().iter().enumerate();
    let columns =
        fields.map(|(at, field)| digest(&format!("{rows} {at} {}", sql_name(field.data_type()))));
    Output {
        columns: columns.collect(),
        rows,
    }
}

fn source_columns(source: &SourcePlan) -> Vec<String> {
    let shape = &source.shape;
    let named = |name: &str| digest(&format!("column {} {name}", source.table));
    let decoded = shape
        .decoded
        .fields()
        .iter()
        .map(|field| named(field.name()));
    let metadata = shape
        .metadata
        .iter()
        .map(|column| digest(&format!("metadata {}", column.key)));
    let mut columns: Vec<String> = decoded.chain(metadata).collect();
    let computed = shape.computed.iter();
    let computed: Vec<String> = computed.map(|(_, expr)| of_expr(expr, &columns)).collect();
    columns.extend(computed);
    columns
}

/// A column with its type: what lies in state.
fn typed(column: usize, columns: &[String], schema: &Schema) -> String {
    format!(
        "{} {}",
        columns[column],
        sql_name(schema.field(column).data_type())
    )
}

fn of_expr(expr: &Expr, columns: &[String]) -> String {
    if let ExprKind::Column { index, .. } = &expr.kind {
        return columns[*index].clone();
    }
    let mut shallow = expr.clone();
    for child in shallow.children_mut() {
        let name = of_expr(child, columns);
        *child = Expr::column(0, &name, child.data_type.clone());
    }
    digest(&format!("{shallow} {}", sql_name(&expr.data_type)))
}

fn of_window(window: &WindowSpec, columns: &[String]) -> String {
    let time = &columns[window.time_column];
    format!(
        "{time} {} {}",
        of_domain(window.domain),
        of_kind(&window.kind, columns)
    )
}

fn of_kind(kind: &WindowKind, columns: &[String]) -> String {
    match kind {
        WindowKind::Tumble { size_ms, offset_ms } => format!("tumble {size_ms} {offset_ms}"),
        WindowKind::Hop {
            size_ms,
            slide_ms,
            offset_ms,
        } => format!("hop {size_ms} {slide_ms} {offset_ms}"),
        WindowKind::Cumulate {
            size_ms,
            step_ms,
            offset_ms,
        } => format!("cumulate {size_ms} {step_ms} {offset_ms}"),
        WindowKind::Session {
            gap_ms,
            partition,
            touching,
        } => {
            let partition: Vec<&String> = partition.iter().map(|at| &columns[*at]).collect();
            format!("session {gap_ms} {partition:?} {touching}")
        }
        WindowKind::Same(kind) => format!("same {}", of_kind(kind, columns)),
    }
}

fn of_call(call: &AggregateCall, columns: &[String], schema: &Schema) -> String {
    let function = function_name(call);
    let argument = call.argument.map(|at| typed(at, columns, schema));
    let filter = call.filter.map(|at| &columns[at]);
    let parameters: Vec<String> = call.parameters.iter().map(ToString::to_string).collect();
    let (distinct, data_type) = (call.distinct, sql_name(&call.data_type));
    format!("{function} {argument:?} {parameters:?} {filter:?} {distinct} {data_type}")
}

fn of_domain(domain: TimeDomain) -> &'static str {
    match domain {
        TimeDomain::Event => "event",
        TimeDomain::Processing => "processing",
    }
}

fn of_join(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
    }
}

fn function_name(call: &AggregateCall) -> String {
    match &call.native {
        Some(native) => native.name.to_string(),
        None => call.function.to_string(),
    }
}

fn of_order(order: &[SortKey]) -> String {
    let keys = order.iter();
    let keys = keys.map(|key| format!("{} {} {}", key.column, key.descending, key.nulls_first));
    keys.collect::<Vec<_>>().join(", ")
}

/// Of ranks and OVER. Their columns are places in the rows that they keep, which are told besides.
fn of_ordered(operator: &Operator, columns: &[String]) -> String {
    match operator {
        Operator::WindowRank(rank) => {
            let (window, keys, order) = (rank.window, &rank.keys, of_order(&rank.order));
            let (latest, ranks, number) = (rank.latest, rank.ranks, rank.number);
            format!("rank {window:?} {keys:?} {order} {latest} {ranks:?} {number}")
        }
        Operator::Over(over) => {
            let calls = over.calls.iter().map(|call| match call {
                OverCall::Aggregate(frame, call) => {
                    let argument = call.argument.map(|at| &columns[at]);
                    let filter = call.filter.map(|at| &columns[at]);
                    let parameters = call.parameters.iter().map(ToString::to_string);
                    let parameters: Vec<String> = parameters.collect();
                    let (function, distinct) = (function_name(call), call.distinct);
                    format!("{function} {argument:?} {filter:?} {distinct} {parameters:?} {frame}")
                }
                OverCall::Lag {
                    argument,
                    rows,
                    default,
                } => format!("lag {argument} {rows} {default:?}"),
            });
            let calls: Vec<String> = calls.collect();
            let (keys, time, order) = (&over.keys, over.time_column, of_order(&over.order));
            let (domain, ttl_ms) = (of_domain(over.domain), over.ttl_ms);
            format!("over {keys:?} {time} {domain} {order} {calls:?} {ttl_ms:?}")
        }
        _ => String::new(),
    }
}

/// The sources before a node.
pub fn sources_before(plan: &Plan, node: &Node) -> Vec<SourceId> {
    let mut found = vec![];
    let mut open: Vec<NodeInput> = node.inputs.clone();
    while let Some(input) = open.pop() {
        match input {
            NodeInput::Source(id) => found.push(id),
            NodeInput::Node(id) => open.extend(&plan.nodes[id.index()].inputs),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
