//! Queries as trees of relational steps, before columns that nobody reads are dropped.
//!
//! A [`Rel`] knows the names and types of all its columns; expressions refer to the columns of the
//! input by position. `emit` turns the trees of all queries into the nodes of one plan.

pub(crate) mod depth;
mod join;
mod ranks;
mod reads;

use arrow::datatypes::DataType;
use millstream_core::expr::{BinaryOp, Expr, ExprKind};
use millstream_core::plan::{WindowKind, WindowSpec};
use millstream_core::types::timestamp;

use crate::expr::aggregate::BoundAggregate;
use crate::types::convert;

pub(crate) use join::{JoinOn, JoinSpec};
pub(crate) use ranks::{BoundOver, OverBy, RankBy, SortBy};

/// One step and what it puts out.
#[derive(Debug, Clone)]
pub(crate) struct Rel {
    /// What it does.
    pub step: Step,
    /// Names and types of its columns.
    pub fields: Vec<(String, DataType)>,
}

/// What a [`Rel`] does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Reads a table, all columns as declared.
    Scan(usize),
    /// Keeps rows for which the expression is true.
    Filter(Box<Rel>, Expr),
    /// Computes the columns.
    Project(Box<Rel>, Vec<Expr>),
    /// Appends the window's start, end and time.
    Window(Box<Rel>, WindowSpec),
    /// Groups by window and keys. Columns: start, end, time, keys, calls, and perhaps the
    /// grouping id.
    Aggregate(Box<Rel>, GroupBy),
    /// The rows of all, column by column.
    Union(Vec<Rel>),
    /// Puts rows of two inputs side by side. Columns: the left ones, then the right ones.
    Join(Box<Rel>, Box<Rel>, JoinSpec),
    /// Appends the columns of each element of an array.
    Unnest(Box<Rel>, UnnestSpec),
    /// Keeps the best rows of each window. Columns: the input's, then the rank.
    Rank(Box<Rel>, RankBy),
    /// Aggregates over the rows before each row. Columns: the input's, then one for each call.
    Over(Box<Rel>, OverBy),
}

/// `UNNEST(array)`.
#[derive(Debug, Clone)]
pub(crate) struct UnnestSpec {
    /// Over the input.
    pub array: Expr,
    /// `WITH ORDINALITY`.
    pub ordinality: bool,
    /// `LEFT JOIN`.
    pub outer: bool,
}

/// A windowed GROUP BY over the rows of its input.
#[derive(Debug, Clone)]
pub(crate) struct GroupBy {
    /// The window.
    pub window: WindowSpec,
    /// Expressions to group by, besides the window.
    pub keys: Vec<Expr>,
    /// Indices into `keys`.
    pub sets: Vec<Vec<usize>>,
    /// What is computed.
    pub calls: Vec<BoundAggregate>,
    /// Whether the grouping id is put out.
    pub grouping_id: bool,
}

/// Conditions that get a step each; further ones are checked one after the other in one step.
const FILTERS_MAX: usize = 16;

impl Rel {
    /// Reads table `index`.
    pub fn scan(index: usize, fields: Vec<(String, DataType)>) -> Self {
        Self {
            step: Step::Scan(index),
            fields,
        }
    }

    /// How many filters follow each other at the top.
    fn filters(&self) -> usize {
        let mut rel = self;
        let mut count = 0;
        while let Step::Filter(input, _) = &rel.step {
            rel = input;
            count += 1;
        }
        count
    }

    /// Keeps rows for which `predicate` is true, as near to the source as it goes.
    #[must_use]
    pub fn filter(mut self, predicate: Expr) -> Self {
        let Some(predicate) = self.narrow_ranks(predicate) else {
            return self;
        };
        if predicate.looks(|_| true) {
            return self.filter_here(predicate);
        }
        let predicate = match predicate.kind {
            // As in Flink, what is false already keeps the rest from failing: `n <> 0 AND 1 / n > x`.
            ExprKind::Binary {
                op: BinaryOp::And,
                left,
                right,
            } if can_fail(&right) && self.filters() < FILTERS_MAX => {
                return self.filter(*left).filter(*right);
            }
            kind => Expr { kind, ..predicate },
        };
        let fields = self.fields.clone();
        let step = match self.step {
            Step::Filter(input, first) if !can_fail(&predicate) => {
                let both = Expr::binary(BinaryOp::And, first, predicate, DataType::Boolean);
                Step::Filter(input, both)
            }
            // Rows that are not kept need no window.
            Step::Window(input, window)
                if reads_only(&predicate, input.fields.len())
                    && keeps_sessions(&predicate, &window.kind) =>
            {
                Step::Window(Box::new(input.filter(predicate)), window)
            }
            Step::Unnest(input, spec) if reads_only(&predicate, input.fields.len()) => {
                Step::Unnest(Box::new(input.filter(predicate)), spec)
            }
            Step::Join(left, right, spec)
                if spec.passes_left() && reads_only(&predicate, left.fields.len()) =>
            {
                Step::Join(Box::new(left.filter(predicate)), right, spec)
            }
            Step::Join(left, right, spec)
                if spec.passes_right() && reads_none(&predicate, left.fields.len()) =>
            {
                let mut predicate = predicate;
                predicate.map_columns(&|index| index - left.fields.len());
                Step::Join(left, Box::new(right.filter(predicate)), spec)
            }
            Step::Union(inputs) => {
                let inputs = inputs.into_iter();
                Step::Union(inputs.map(|it| it.filter(predicate.clone())).collect())
            }
            Step::Project(input, exprs) if reads_columns(&predicate, &exprs) => {
                let mut predicate = predicate;
                substitute(&mut predicate, &exprs);
                Step::Project(Box::new(input.filter(predicate)), exprs)
            }
            step => {
                let input = Self {
                    step,
                    fields: self.fields,
                };
                Step::Filter(Box::new(input), predicate)
            }
        };
        Self { step, fields }
    }

    /// A condition that looks at more than its row is asked where it stands; its parts that do not are
    /// asked before.
    fn filter_here(mut self, predicate: Expr) -> Self {
        let looks = |expr: &Expr| expr.looks(|_| true);
        let (looking, plain): (Vec<Expr>, _) = ranks::parts(predicate).into_iter().partition(looks);
        for part in plain {
            self = self.filter(part);
        }
        let and = |left, right| Expr::binary(BinaryOp::And, left, right, DataType::Boolean);
        let fields = self.fields.clone();
        match looking.into_iter().reduce(and) {
            Some(predicate) => Self {
                step: Step::Filter(Box::new(self), predicate),
                fields,
            },
            None => self,
        }
    }

    /// Computes `columns`. A projection of a projection becomes one where nothing is computed
    /// twice by that.
    #[must_use]
    pub fn project(self, columns: Vec<(String, Expr)>) -> Self {
        let fields = columns
            .iter()
            .map(|(name, expr)| (name.clone(), expr.data_type.clone()))
            .collect();
        let mut exprs: Vec<Expr> = columns.into_iter().map(|(_, expr)| expr).collect();
        let step = match self.step {
            Step::Project(input, inner) if computes_once(&exprs, &inner) => {
                for expr in &mut exprs {
                    substitute(expr, &inner);
                }
                Step::Project(input, exprs)
            }
            step => {
                let input = Self {
                    step,
                    fields: self.fields,
                };
                Step::Project(Box::new(input), exprs)
            }
        };
        Self { step, fields }
    }

    /// Appends a window's columns.
    #[must_use]
    pub fn window(self, window: WindowSpec) -> Self {
        let time_type = self.fields[window.time_column].1.clone();
        let mut fields = self.fields.clone();
        fields.extend(window_fields(time_type));
        Self {
            step: Step::Window(Box::new(self), window),
            fields,
        }
    }

    /// Groups by window and keys.
    #[must_use]
    pub fn aggregate(self, group_by: GroupBy) -> Self {
        let time_type = self.fields[group_by.window.time_column].1.clone();
        let mut fields: Vec<(String, DataType)> = window_fields(time_type).into();
        for (index, key) in group_by.keys.iter().enumerate() {
            let name = natural_name(key).unwrap_or_else(|| format!("key_{index}"));
            fields.push((name, key.data_type.clone()));
        }
        for call in &group_by.calls {
            let name = unused_name(&call.name(), &fields);
            fields.push((name, call.data_type.clone()));
        }
        if group_by.grouping_id {
            fields.push(("grouping_id".to_owned(), DataType::Int64));
        }
        Self {
            step: Step::Aggregate(Box::new(self), group_by),
            fields,
        }
    }

    /// The rows of all `inputs`, which have at least the columns `fields`.
    pub fn union(inputs: Vec<Self>, fields: Vec<(String, DataType)>) -> Self {
        let mut flat = vec![];
        for input in inputs {
            match input.step {
                Step::Union(inputs) => flat.extend(inputs),
                _ => flat.push(input),
            }
        }
        Self {
            step: Step::Union(flat),
            fields,
        }
    }

    /// Appends the columns `elements` of each element of an array.
    #[must_use]
    pub fn unnest(self, spec: UnnestSpec, elements: Vec<(String, DataType)>) -> Self {
        let mut fields = self.fields.clone();
        fields.extend(elements);
        Self {
            step: Step::Unnest(Box::new(self), spec),
            fields,
        }
    }

    /// The first `columns` columns and what is at `more`, as the columns after them.
    #[must_use]
    fn first_and(self, columns: usize, more: usize) -> Self {
        let kept = (0..columns).chain([more]);
        let exprs = kept.map(|index| {
            let (name, data_type) = self.fields[index].clone();
            (name.clone(), Expr::column(index, name, data_type))
        });
        let exprs = exprs.collect();
        self.project(exprs)
    }

    /// The window that made `column` in all of `inputs`, whose time they carry at the end.
    fn window_of_all(
        inputs: &mut [Self],
        (column, placed): (usize, bool),
        width: usize,
    ) -> Option<WindowSpec> {
        let mut windows = vec![];
        for input in inputs.iter_mut() {
            windows.push(input.find_window(column, placed)?);
        }
        let first = windows[0].clone();
        let is_session = matches!(first.kind, WindowKind::Session { .. });
        let is_alike =
            |other: &WindowSpec| (&other.kind, other.domain) == (&first.kind, first.domain);
        if is_session || !windows.iter().all(is_alike) {
            return None;
        }
        if first.time_column < width && windows.iter().all(|window| *window == first) {
            return Some(first);
        }
        for (input, window) in inputs.iter_mut().zip(&windows) {
            *input = input.clone().first_and(width, window.time_column);
        }
        Some(WindowSpec {
            time_column: width,
            domain: first.domain,
            kind: first.kind,
        })
    }

    /// Whether there is a condition on rows between here and the window that they are in.
    pub fn is_filtered(&self) -> bool {
        match &self.step {
            Step::Filter(..) => true,
            Step::Project(input, _) => input.is_filtered(),
            _ => false,
        }
    }

    /// The window that made `column` (a window's start, end or time), over an event-time column
    /// that is carried up to here if it is not there.
    pub fn window_of(&mut self, column: usize) -> Option<WindowSpec> {
        self.find_window(column, false)
    }

    /// The same for rows that are [placed](Self::is_placed): over the time of their windows where a
    /// row can be in several.
    pub fn window_of_placed(&mut self, column: usize) -> Option<WindowSpec> {
        self.find_window(column, true)
    }

    fn find_window(&mut self, column: usize, placed: bool) -> Option<WindowSpec> {
        match &mut self.step {
            Step::Scan(_) => None,
            Step::Filter(input, _) => {
                let window = input.find_window(column, placed);
                self.fields.clone_from(&input.fields);
                window
            }
            Step::Union(inputs) => {
                let window = Self::window_of_all(inputs, (column, placed), self.fields.len())?;
                if window.time_column == self.fields.len() {
                    let carried = inputs[0].fields[window.time_column].clone();
                    self.fields.push(carried);
                }
                Some(window)
            }
            Step::Unnest(input, _) => {
                let window = input.window_in_place(column, placed)?;
                // A row without elements is in its session all the same.
                let is_session = matches!(window.kind, WindowKind::Session { .. });
                (!is_session).then_some(window)
            }
            Step::Join(left, right, _) => Self::window_of_join(left, right, (column, placed)),
            Step::Rank(input, _) | Step::Over(input, _) => {
                // A column that is carried up would stand where ranks and calls do.
                let mut carried = (**input).clone();
                let window = carried.find_window(column, placed);
                let in_place = carried.fields.len() == input.fields.len();
                window.filter(|_| column < input.fields.len() && in_place)
            }
            Step::Window(input, window) => {
                let width = input.fields.len();
                (column >= width).then(|| window_of_rows(window, width, placed))
            }
            Step::Aggregate(_, group_by) => {
                let kind = window_of_results(&group_by.window.kind)?;
                (column < 3).then_some(WindowSpec {
                    time_column: 2,
                    domain: group_by.window.domain,
                    kind,
                })
            }
            Step::Project(input, exprs) => {
                let window = input.find_window(exprs[column].as_column()?, placed)?;
                let mut carry = |column: usize| {
                    let carried = |expr: &Expr| expr.as_column() == Some(column);
                    exprs.iter().position(carried).unwrap_or_else(|| {
                        let (name, data_type) = input.fields[column].clone();
                        exprs.push(Expr::column(column, &name, data_type.clone()));
                        self.fields.push((name, data_type));
                        exprs.len() - 1
                    })
                };
                let mut kind = window.kind;
                if let WindowKind::Session { partition, .. } = &mut kind {
                    for column in partition {
                        *column = carry(*column);
                    }
                }
                Some(WindowSpec {
                    time_column: carry(window.time_column),
                    domain: window.domain,
                    kind,
                })
            }
        }
    }
}

/// The window of rows to which columns of it were appended behind `width` others.
fn window_of_rows(window: &WindowSpec, width: usize, placed: bool) -> WindowSpec {
    match &window.kind {
        kind @ (WindowKind::Hop { .. } | WindowKind::Cumulate { .. }) if placed => WindowSpec {
            time_column: width + 2,
            domain: window.domain,
            kind: WindowKind::Same(Box::new(kind.clone())),
        },
        _ => window.clone(),
    }
}

/// How the times of results are cut into the windows that they are of.
fn window_of_results(kind: &WindowKind) -> Option<WindowKind> {
    match kind {
        // Sessions that end together need not have begun together.
        WindowKind::Session { .. } => None,
        // The window's time is in the window, so grouping by it gives the same windows.
        WindowKind::Tumble { .. } | WindowKind::Same(_) => Some(kind.clone()),
        kind => Some(WindowKind::Same(Box::new(kind.clone()))),
    }
}

/// Whether a condition leaves sessions as they are: it takes all rows of a key or none.
fn keeps_sessions(predicate: &Expr, kind: &WindowKind) -> bool {
    let WindowKind::Session { partition, .. } = kind else {
        return true;
    };
    let mut keeps = true;
    predicate.for_each_column(&mut |index| keeps &= partition.contains(&index));
    keeps
}

fn window_fields(time_type: DataType) -> [(String, DataType); 3] {
    [
        ("window_start".to_owned(), timestamp(3)),
        ("window_end".to_owned(), timestamp(3)),
        ("window_time".to_owned(), time_type),
    ]
}

/// The name that an expression has by itself.
pub(crate) fn natural_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Column { name, .. } | ExprKind::Field { name, .. } => Some(name.clone()),
        _ => None,
    }
}

pub(crate) fn unused_name(name: &str, fields: &[(String, DataType)]) -> String {
    let used = |name: &str| fields.iter().any(|(field, _)| field == name);
    if !used(name) {
        return name.to_owned();
    }
    let mut numbered = (2..).map(|number| format!("{name}_{number}"));
    numbered
        .find(|name| !used(name))
        .expect("there is always another number")
}

/// Whether there are values for which it has no result.
fn can_fail(expr: &Expr) -> bool {
    let fails = match &expr.kind {
        ExprKind::Binary { op, .. } => matches!(op, BinaryOp::Divide | BinaryOp::Modulo),
        ExprKind::Cast { input, safe } => !safe && input.data_type == DataType::Utf8,
        ExprKind::Native { .. } => true,
        _ => false,
    };
    fails || expr.children().into_iter().any(can_fail)
}

fn reads_only(expr: &Expr, columns: usize) -> bool {
    let mut only = true;
    expr.for_each_column(&mut |index| only &= index < columns);
    only
}

fn reads_none(expr: &Expr, columns: usize) -> bool {
    let mut none = true;
    expr.for_each_column(&mut |index| none &= index >= columns);
    none
}

/// Whether `outer` reads only columns that `inner` passes on as they are.
fn reads_columns(outer: &Expr, inner: &[Expr]) -> bool {
    let mut only = true;
    outer.for_each_column(&mut |index| only &= inner[index].as_column().is_some());
    only
}

fn computes_once(outer: &[Expr], inner: &[Expr]) -> bool {
    let mut reads = vec![0usize; inner.len()];
    for expr in outer {
        expr.for_each_column(&mut |index| reads[index] += 1);
    }
    let mut pairs = inner.iter().zip(&reads);
    let is_free = |expr: &Expr| expr.children().is_empty() && !expr.looks(|_| true);
    pairs.all(|(expr, reads)| *reads <= 1 || is_free(expr))
}

/// Replaces each column by what `inner` computes for it. Constants that meet a cast are converted.
fn substitute(expr: &mut Expr, inner: &[Expr]) {
    if let Some(index) = expr.as_column() {
        *expr = inner[index].clone();
        return;
    }
    for child in expr.children_mut() {
        substitute(child, inner);
    }
    if let ExprKind::Cast { input, safe: false } = &expr.kind
        && let ExprKind::Literal(_) = input.kind
    {
        *expr = convert((**input).clone(), &expr.data_type);
    }
}
