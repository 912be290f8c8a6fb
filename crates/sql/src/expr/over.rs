//! Calls with OVER.
//!
//! While a select list is bound, each call is put aside and stands as column `OVER + n`; then the
//! step that computes them appends their columns to those of the input.

use millstream_core::TimeDomain;
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::plan::Frame;
use millstream_core::types::sql_name;
use sqlparser::ast::{
    self, Ident, NamedWindowDefinition, NamedWindowExpr, Spanned, WindowFrameBound,
    WindowFrameUnits, WindowType,
};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::aggregate::{Aggregates, BoundAggregate, CALLS, is_aggregate};
use crate::expr::literal::interval_ms;
use crate::expr::{ExprBinder, call, composite};
use crate::functions::check_count;
use crate::rel::{BoundOver, OverBy, RankBy, Rel, SortBy};
use crate::scope::Role;
use crate::types::{convert, is_comparable};

/// Columns from here on are calls with OVER.
pub(crate) const OVER: usize = 1 << 22;

const RANK_HELP: &str = "use ROW_NUMBER";
const TOP_N_HELP: &str =
    "PARTITION BY window_start, window_end, … of TABLE(TUMBLE(…)), or ORDER BY the event time";

/// The calls with OVER of a select list, each once.
#[derive(Default)]
pub(crate) struct Overs {
    named: Vec<NamedWindowDefinition>,
    rank: Option<RankBy>,
    over: Option<OverBy>,
}

/// What stands in the parentheses after OVER.
struct Window {
    keys: Vec<Expr>,
    order: Vec<SortBy>,
    frame: Option<ast::WindowFrame>,
    place: Place,
    /// The time that it is ordered by.
    domain: TimeDomain,
}

impl Overs {
    /// No calls yet; `named` are the windows of the WINDOW clause.
    pub fn new(named: &[NamedWindowDefinition]) -> Self {
        Self {
            named: named.to_vec(),
            ..Self::default()
        }
    }

    /// `rel` with the columns of the calls; `exprs` read them there.
    pub fn append(self, rel: Rel, exprs: &mut [Expr]) -> Rel {
        let width = rel.fields.len();
        for expr in exprs {
            expr.map_columns(&|index| match index.checked_sub(OVER) {
                Some(call) => width + call,
                None => index,
            });
        }
        match (self.rank, self.over) {
            (Some(rank), _) => rel.rank(rank),
            (None, Some(over)) => rel.over(over),
            (None, None) => rel,
        }
    }

    /// The time in whose order rows come out. Another event time of the rows can be older than what has
    /// come out already, so nothing after them can go by that.
    pub fn time_column(&self) -> Option<usize> {
        self.over.as_ref().map(|over| over.time_column)
    }

    /// Whether there are calls, so that rows come out later than they come in.
    pub fn has_calls(&self) -> bool {
        self.rank.is_some() || self.over.is_some()
    }

    fn push(&mut self, call: BoundOver, window: Window) -> Result<Expr> {
        if self.rank.is_some() {
            return Err(beside_rank(window.place));
        }
        let time_column = time_column(&window)?;
        let over = self.over.get_or_insert_with(|| OverBy {
            keys: window.keys.clone(),
            time_column,
            domain: window.domain,
            order: vec![],
            calls: vec![],
            needs_ttl: None,
        });
        if over.keys != window.keys || over.time_column != time_column {
            let what = "OVER with two different PARTITION BY or ORDER BY in one SELECT is";
            let fault = Fault::unsupported(window.place, what);
            return Err(fault.help("compute one of them in a subquery"));
        }
        let known = over.calls.iter().position(|known| *known == call);
        let index = known.unwrap_or_else(|| {
            over.calls.push(call.clone());
            over.calls.len() - 1
        });
        let data_type = call.data_type().clone();
        Ok(Expr::column(OVER + index, "over", data_type))
    }
}

/// Puts `column` in the place of the call in what stands around it.
fn put(shape: &mut Expr, column: &Expr) {
    if shape.as_column() == Some(CALLS) {
        *shape = column.clone();
        return;
    }
    for child in shape.children_mut() {
        put(child, column);
    }
}

fn beside_rank(place: Place) -> Fault {
    let fault = Fault::unsupported(
        place,
        "`ROW_NUMBER` of a window beside other calls with OVER is",
    );
    fault.help("compute one of them in a subquery")
}

/// The column of ORDER BY, which must be the event time.
fn time_column(window: &Window) -> Result<usize> {
    let refuse = |message: &str| {
        let fault = Fault::unsupported(window.place, message);
        Err(fault.help("ORDER BY the event time, ascending"))
    };
    match window.order.as_slice() {
        [] => refuse("OVER without ORDER BY is"),
        [by] if by.descending => refuse("OVER with a descending ORDER BY is"),
        [by] => Ok(by.expr.as_column().expect("checked to be an event time")),
        _ => refuse("OVER with ORDER BY of more than the event time is"),
    }
}

impl ExprBinder<'_> {
    /// Binds a call with OVER.
    pub(super) fn bind_over(
        &mut self,
        name: &str,
        function: &ast::Function,
        over: &WindowType,
    ) -> Result<Expr> {
        let place = function.name.span().start;
        let Some(overs) = &self.over else {
            let fault = Fault::unsupported(place, format!("`OVER` in {} is", self.clause));
            return Err(fault.help("compute it in a SELECT of its own"));
        };
        let spec = match over {
            WindowType::WindowSpec(spec) => spec.clone(),
            WindowType::NamedWindow(name) => named_window(&overs.named, name)?.clone(),
        };
        let window = self.bind_window(&spec, place)?;
        let mut shape = None;
        let call = match name {
            "ROW_NUMBER" => return self.bind_row_number(function, window),
            "LAG" => self.bind_lag(function, place)?,
            "RANK" | "DENSE_RANK" | "PERCENT_RANK" | "CUME_DIST" | "NTILE" | "LEAD"
            | "NTH_VALUE" => {
                let fault = Fault::unsupported(place, format!("`{name}` is"));
                return Err(match name {
                    "RANK" | "DENSE_RANK" => fault.help(RANK_HELP),
                    _ => fault,
                });
            }
            _ if self.is_any_aggregate(name) => {
                let frame = self.bind_frame(window.frame.as_ref(), place)?;
                let mut aggregates = Aggregates::default();
                let mut inner = ExprBinder::scalar(self.scope, self.dialect, self.clause);
                inner.start = self.start;
                inner.aggregates = Some(&mut aggregates);
                shape = inner.bind_any_aggregate(name, function, place)?;
                let call = aggregates.calls.pop().expect("the call just bound");
                BoundOver::Aggregate(frame, call)
            }
            _ => {
                let message = format!("`{name}` with OVER, expected an aggregate function");
                return Err(Fault::at(place, message));
            }
        };
        if window.order.len() != 1 || !self.is_time(&window.order[0].expr) {
            let fault = Fault::unsupported(place, "OVER without ORDER BY an event time is");
            return Err(fault.help("ORDER BY the event time, ascending"));
        }
        let overs = self.over.as_mut().expect("checked above");
        let column = overs.push(call, window)?;
        Ok(match shape {
            Some(mut shape) => {
                put(&mut shape, &column);
                shape
            }
            None => column,
        })
    }

    fn is_any_aggregate(&self, name: &str) -> bool {
        is_aggregate(name)
            || composite::NAMES.contains(&name)
            || self.dialect.native.aggregate(name).is_some()
    }

    fn is_time(&self, expr: &Expr) -> bool {
        let role = expr.as_column().map(|index| self.scope.columns[index].role);
        role.is_some_and(|role| role.domain().is_some())
    }

    fn bind_window(&self, spec: &ast::WindowSpec, place: Place) -> Result<Window> {
        if spec.window_name.is_some() {
            return Err(Fault::unsupported(
                place,
                "a window made of another window is",
            ));
        }
        let mut binder = ExprBinder::scalar(self.scope, self.dialect, "OVER");
        binder.start = place;
        let mut keys = vec![];
        for key in &spec.partition_by {
            let at = binder.place(key);
            let key = binder.bind(key)?;
            if !is_comparable(&key.data_type) {
                let found = sql_name(&key.data_type);
                return Err(Fault::at(at, format!("cannot partition by {found}")));
            }
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let order = spec.order_by.iter().map(|by| sort_by(&mut binder, by));
        let order = order.collect::<Result<Vec<SortBy>>>()?;
        let first = order.first().and_then(|by| by.expr.as_column());
        let domain = first.and_then(|index| self.scope.columns[index].role.domain());
        Ok(Window {
            keys,
            order,
            frame: spec.window_frame.clone(),
            place,
            domain: domain.unwrap_or_default(),
        })
    }

    /// The best rows of a window, or a running number in the order of time.
    fn bind_row_number(&mut self, function: &ast::Function, window: Window) -> Result<Expr> {
        let place = window.place;
        check_count(
            "ROW_NUMBER",
            place,
            call::arguments(function, "ROW_NUMBER")?.len(),
            (0, 0),
        )?;
        if window.frame.is_some() {
            return Err(Fault::at(place, "ROW_NUMBER with a frame"));
        }
        if window.order.is_empty() {
            return Err(Fault::at(place, "ROW_NUMBER without ORDER BY"));
        }
        let number = Expr::column(OVER, "over", arrow::datatypes::DataType::Int64);
        let scope = self.scope;
        let role = |expr: &Expr| expr.as_column().map(|index| scope.columns[index].role);
        let part = |wanted: Role| {
            let column = window.keys.iter().find(|key| role(key) == Some(wanted));
            column.and_then(Expr::as_column)
        };
        let of_window = (part(Role::WindowStart), part(Role::WindowEnd));
        let by_time = matches!(window.order.as_slice(), [by] if self.is_time(&by.expr)
            || role(&by.expr) == Some(Role::WindowedTime));
        let overs = self.over.as_mut().expect("checked by the caller");
        let (Some(start), Some(end)) = of_window else {
            return match (of_window, window.order.as_slice()) {
                ((None, None), [by]) if by_time && !by.descending => overs.number_rows(window),
                ((None, None), [_]) if by_time => {
                    let what = "keeping the last row of a key without a window is";
                    Err(Fault::unsupported(place, what).help(TOP_N_HELP))
                }
                ((None, None), _) => {
                    let what = "`ROW_NUMBER` without a window is";
                    Err(Fault::unsupported(place, what).help(TOP_N_HELP))
                }
                _ => {
                    let message = "PARTITION BY one end of a window";
                    Err(Fault::at(place, message)
                        .help("PARTITION BY both window_start and window_end"))
                }
            };
        };
        let mut keys = window.keys;
        keys.retain(|key| !matches!(key.as_column(), Some(c) if c == start || c == end));
        let latest = by_time && window.order[0].descending;
        let rank = RankBy {
            window: [start, end],
            keys,
            order: window.order,
            latest,
            ranks: (1, None),
            place,
        };
        match (&overs.rank, &overs.over) {
            (None, None) => overs.rank = Some(rank),
            (Some(known), None) if known.is_same(&rank) => {}
            _ => return Err(beside_rank(place)),
        }
        Ok(number)
    }

    fn bind_lag(&mut self, function: &ast::Function, place: Place) -> Result<BoundOver> {
        let args = call::arguments(function, "LAG")?;
        check_count("LAG", place, args.len(), (1, 3))?;
        let argument = self.bind(args[0])?;
        let rows = match args.get(1) {
            None => 1,
            Some(rows) => {
                let at = self.place(rows);
                row_count(&self.bind(rows)?)
                    .ok_or_else(|| Fault::at(at, "`LAG`: expected a constant number of rows"))?
            }
        };
        let default = args.get(2).map(|default| self.bind(default)).transpose()?;
        let default = match default {
            Some(default)
                if crate::types::converts_implicitly(&default.data_type, &argument.data_type) =>
            {
                Some(convert(default, &argument.data_type))
            }
            Some(default) => {
                let (found, wanted) = (sql_name(&default.data_type), sql_name(&argument.data_type));
                let message = format!("default of `LAG`: found {found}, expected {wanted}");
                return Err(Fault::at(place, message));
            }
            None => None,
        };
        Ok(BoundOver::Lag(argument, rows, default))
    }

    fn bind_frame(&mut self, frame: Option<&ast::WindowFrame>, place: Place) -> Result<Frame> {
        let Some(frame) = frame else {
            return Ok(Frame::Range(None));
        };
        match &frame.end_bound {
            None | Some(WindowFrameBound::CurrentRow) => {}
            Some(_) => {
                let fault = Fault::unsupported(place, "a frame that does not end at the row is");
                return Err(fault.help("write BETWEEN … PRECEDING AND CURRENT ROW"));
            }
        }
        let preceding = match &frame.start_bound {
            WindowFrameBound::CurrentRow => None,
            WindowFrameBound::Preceding(None) => {
                return Ok(match frame.units {
                    WindowFrameUnits::Rows => Frame::Rows(None),
                    _ => Frame::Range(None),
                });
            }
            WindowFrameBound::Preceding(Some(bound)) => Some(self.bind(bound)?),
            WindowFrameBound::Following(_) => {
                return Err(Fault::unsupported(place, "FOLLOWING in a frame is"));
            }
        };
        match frame.units {
            WindowFrameUnits::Rows => {
                let rows = preceding.as_ref().map_or(Some(0), row_count);
                let wrong = || Fault::at(place, "ROWS: expected a constant number of rows");
                Ok(Frame::Rows(Some(rows.ok_or_else(wrong)?)))
            }
            WindowFrameUnits::Range => {
                let ms = preceding.as_ref().map_or(Some(0), interval_ms);
                let wrong = || Fault::at(place, "RANGE: expected a constant INTERVAL");
                Ok(Frame::Range(Some(
                    ms.filter(|ms| *ms >= 0).ok_or_else(wrong)?,
                )))
            }
            WindowFrameUnits::Groups => Err(Fault::unsupported(place, "GROUPS in a frame is")),
        }
    }
}

impl Overs {
    fn number_rows(&mut self, window: Window) -> Result<Expr> {
        let count = BoundAggregate::count_rows();
        let needs_ttl = (!window.keys.is_empty()).then_some(window.place);
        let number = self.push(BoundOver::Aggregate(Frame::Rows(None), count), window)?;
        let over = self.over.as_mut().expect("pushed just now");
        over.needs_ttl = over.needs_ttl.or(needs_ttl);
        Ok(number)
    }
}

/// Binds an element of ORDER BY. As in Flink, nulls are the smallest values.
pub(crate) fn sort_by(binder: &mut ExprBinder<'_>, by: &ast::OrderByExpr) -> Result<SortBy> {
    let place = binder.place(&by.expr);
    let expr = binder.bind(&by.expr)?;
    if let ExprKind::Literal(_) = expr.kind {
        return Err(Fault::at(place, format!("constant {expr} in ORDER BY")));
    }
    if !is_comparable(&expr.data_type) {
        let found = sql_name(&expr.data_type);
        return Err(Fault::at(place, format!("cannot order by {found}")));
    }
    let descending = by.options.asc == Some(false);
    Ok(SortBy {
        expr,
        descending,
        nulls_first: by.options.nulls_first.unwrap_or(!descending),
    })
}

fn row_count(expr: &Expr) -> Option<u64> {
    match expr.kind {
        ExprKind::Literal(Literal::Int(rows)) => u64::try_from(rows).ok(),
        _ => None,
    }
}

fn named_window<'a>(
    named: &'a [NamedWindowDefinition],
    name: &Ident,
) -> Result<&'a ast::WindowSpec> {
    let found = named.iter().find(|known| known.0.value == name.value);
    match found.map(|known| &known.1) {
        Some(NamedWindowExpr::WindowSpec(spec)) => Ok(spec),
        Some(NamedWindowExpr::NamedWindow(other)) => named_window(named, other),
        None => {
            let known = named.iter().map(|known| known.0.value.as_str());
            let message = format!("unknown window `{}`", name.value);
            Err(Fault::at(name.span, message).near(&name.value, known))
        }
    }
}
