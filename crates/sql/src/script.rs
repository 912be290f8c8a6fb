//! A script from its first to its last statement: what is declared, set, written and explained.

use arrow::datatypes::DataType;
use millstream_core::Subject;
use millstream_core::connector::{ConnectorCatalog, PlanTable, TableError};
use millstream_core::expr::{Expr, Literal};
use millstream_core::function::Functions;
use millstream_core::plan::Plan;
use millstream_core::types::sql_name;
use sqlparser::ast::Ident;

use crate::Script;
use crate::ast::{CreateTable, CreateView, Explained, Insert, Statement};
use crate::catalog::{Catalog, Named, Table, TableColumnKind};
use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::FlinkDialect;
use crate::emit::{self, Query};
use crate::expr::native_function;
use crate::query::{Bound, QueryBinder, rename};
use crate::settings::Settings;
use crate::types::{convert, converts_implicitly};

/// All that a script says, bound.
pub(crate) struct BoundScript {
    /// Tables and views.
    catalog: Catalog,
    /// What SET statements say.
    settings: Settings,
    /// What INSERT statements write.
    pub queries: Vec<Query>,
    /// What EXPLAIN statements ask for, and where.
    pub explained: Vec<(Place, Query)>,
    file: String,
    /// What the connectors refuse.
    check: fn(&Plan) -> Result<(), TableError>,
}

impl BoundScript {
    /// Binds the statements of `text`, the script's text after substitution.
    pub fn bind(
        script: &Script<'_>,
        text: &str,
        (connectors, native): (&ConnectorCatalog, &Functions),
    ) -> Result<Self> {
        native_function::check_names(native)?;
        let dialect = FlinkDialect::new(native.clone());
        let statements = crate::parser::parse(text, &dialect)?;
        let mut binder = ScriptBinder {
            dialect: &dialect,
            connectors,
            bound: Self {
                catalog: Catalog::default(),
                settings: Settings::default(),
                queries: vec![],
                explained: vec![],
                file: script.file.to_owned(),
                check: connectors.check,
            },
        };
        for statement in &statements {
            binder.bind_statement(statement)?;
        }
        let mut bound = binder.bound;
        bound.settings.override_with(script.settings)?;
        bound.settings.check_tables(&bound.catalog)?;
        Ok(bound)
    }

    /// The plan of all INSERT statements together.
    pub fn plan(&self) -> Result<Plan> {
        self.plan_of(&self.queries)
    }

    /// The plan of one query.
    pub fn plan_of(&self, queries: &[Query]) -> Result<Plan> {
        let options = self.settings.pipeline(&self.file)?;
        let plan = emit::plan(queries, &self.catalog, &self.settings, options)?;
        match (self.check)(&plan) {
            Ok(()) => Ok(plan),
            Err(error) => Err(self.refused(&plan, &error)),
        }
    }

    /// What a connector refuses, at the option or column of the table that it is about.
    fn refused(&self, plan: &Plan, error: &TableError) -> Fault {
        let name = match error.table {
            PlanTable::Source(id) => &plan.sources[id.index()].table,
            PlanTable::Sink(id) => &plan.sinks[id.index()].table,
            PlanTable::Table(id) => &plan.tables[id.index()].source.table,
        };
        let error = &error.error;
        let Some(index) = self.catalog.table(name) else {
            // A table that was made up for late events or dead letters: its source has the place.
            let source = plan.sources.iter().find(|source| {
                let late = source.late_events.iter().map(|late| late.sink);
                let dead = source.dead_letters.iter().map(|dead| dead.sink);
                let mut sinks = late.chain(dead).map(|sink| &plan.sinks[sink.index()].table);
                sinks.any(|sink| sink == name)
            });
            let source = source.and_then(|source| self.catalog.table(&source.table));
            let place = source.map_or(Place::new(1, 1), |index| self.catalog.tables[index].place);
            return Fault::at(place, format!("table `{name}`: {error}"));
        };
        let table = &self.catalog.tables[index];
        let place = match error.subject() {
            Some(Subject::Option(key)) => table.option_places.get(key).copied(),
            Some(Subject::Column(name)) => {
                table.column(name).map(|index| table.columns[index].place)
            }
            None => None,
        };
        Fault::at(place.unwrap_or(table.place), error.to_string())
    }
}

struct ScriptBinder<'a> {
    dialect: &'a FlinkDialect,
    connectors: &'a ConnectorCatalog,
    bound: BoundScript,
}

impl ScriptBinder<'_> {
    fn bind_statement(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::CreateTable(table) => self.create_table(table),
            Statement::CreateView(view) => self.create_view(view),
            Statement::CreateFunction(function) => {
                crate::expr::user_function::declare(function, self.dialect)
            }
            Statement::Set(key, value) => self.bound.settings.set(key, value),
            Statement::Insert(insert) => {
                let query = self.bind_insert(insert, true)?;
                self.bound.queries.push(query);
                Ok(())
            }
            Statement::Explain(place, explained) => {
                let query = match explained {
                    Explained::Insert(insert) => self.bind_insert(insert, false)?,
                    Explained::Query(query) => Query {
                        rel: self.binder().bind(query)?.rel,
                        sink: None,
                        name: "explain".to_owned(),
                        place: *place,
                    },
                };
                self.bound.explained.push((*place, query));
                Ok(())
            }
        }
    }

    fn binder(&self) -> QueryBinder<'_> {
        QueryBinder::new(&self.bound.catalog, self.dialect)
    }

    fn create_table(&mut self, table: &CreateTable) -> Result<()> {
        let catalog = &mut self.bound.catalog;
        if catalog.is_free(&table.name, table.if_not_exists)? {
            let bound = crate::table::bind(table, self.dialect, self.connectors)?;
            catalog.tables.push(bound);
        }
        Ok(())
    }

    fn create_view(&mut self, view: &CreateView) -> Result<()> {
        if !self.bound.catalog.is_free(&view.name, view.if_not_exists)? {
            return Ok(());
        }
        let bound = self.binder().bind(&view.query)?;
        let bound = rename(bound, &view.name, &view.columns)?;
        self.bound.catalog.add_view(&view.name, bound);
        Ok(())
    }

    /// Binds an INSERT; if it `runs`, its name tells it from others into the same table.
    fn bind_insert(&self, insert: &Insert, runs: bool) -> Result<Query> {
        let index = self.sink(&insert.table)?;
        let table = &self.bound.catalog.tables[index];
        let targets = target_columns(insert, table)?;
        let query = self.binder().bind(&insert.query)?;
        let rel = convert_to_sink(query, insert, table, &targets)?;
        let same = self
            .bound
            .queries
            .iter()
            .filter(|query| query.sink == Some(index));
        let name = match same.count() {
            0 => table.name.clone(),
            _ if !runs => table.name.clone(),
            others => format!("{}#{}", table.name, others + 1),
        };
        Ok(Query {
            rel,
            sink: Some(index),
            name,
            place: insert.table.span.start,
        })
    }

    fn sink(&self, name: &Ident) -> Result<usize> {
        let catalog = &self.bound.catalog;
        let index = match catalog.find(&name.value) {
            Some(Named::Table(index)) => index,
            Some(Named::View(_)) => {
                let message = format!("`{}` is a view, expected a table", name.value);
                return Err(Fault::at(name.span, message));
            }
            None => {
                let tables = catalog.tables.iter().map(|table| table.name.as_str());
                let message = format!("unknown table `{}`", name.value);
                return Err(Fault::at(name.span, message).near(&name.value, tables));
            }
        };
        let table = &catalog.tables[index];
        if !table.info.is_sink {
            let message = format!(
                "table `{}` cannot be written: connector `{}` only reads",
                name.value, table.info.name
            );
            return Err(Fault::at(name.span, message));
        }
        if !table.primary_key.is_empty() && !table.info.is_upsert {
            let message = format!(
                "table `{}` has a PRIMARY KEY, but connector `{}` only appends",
                name.value, table.info.name
            );
            let fault = Fault::at(table.primary_key_place, message);
            return Err(fault.help("drop the PRIMARY KEY, or use a connector that upserts"));
        }
        for column in &table.columns {
            if let TableColumnKind::Metadata {
                is_virtual: false, ..
            } = column.kind
            {
                let what = format!("writing METADATA column `{}` is", column.name);
                return Err(Fault::unsupported(column.place, what).help("declare it VIRTUAL"));
            }
        }
        Ok(index)
    }
}

/// For each column of the sink, which column of the query fills it.
fn target_columns(insert: &Insert, table: &Table) -> Result<Vec<Option<usize>>> {
    let columns = table.sink_columns();
    if insert.columns.is_empty() {
        return Ok((0..columns.len()).map(Some).collect());
    }
    let mut targets = vec![None; columns.len()];
    for (position, name) in insert.columns.iter().enumerate() {
        let is_named = |column: &usize| table.columns[*column].name == name.value;
        let Some(target) = columns.iter().position(is_named) else {
            let known = columns
                .iter()
                .map(|column| table.columns[*column].name.as_str());
            let message = format!("unknown column `{}` of `{}`", name.value, table.name);
            return Err(Fault::at(name.span, message).near(&name.value, known));
        };
        if targets[target].replace(position).is_some() {
            let message = format!("column `{}` is there twice", name.value);
            return Err(Fault::at(name.span, message));
        }
    }
    for key in &table.primary_key {
        let column = columns.iter().position(|column| column == key);
        if column.is_some_and(|column| targets[column].is_none()) {
            let name = &table.columns[*key].name;
            let message = format!("column `{name}` of the primary key is not given");
            return Err(Fault::at(insert.table.span, message));
        }
    }
    Ok(targets)
}

/// The query with the sink's columns and types.
fn convert_to_sink(
    query: Bound,
    insert: &Insert,
    table: &Table,
    targets: &[Option<usize>],
) -> Result<crate::rel::Rel> {
    let found = query.scope.columns.len();
    let expected = targets.iter().flatten().count();
    if found != expected {
        let plural = if found == 1 { "" } else { "s" };
        let message = format!(
            "the query has {found} column{plural}, `{}` takes {expected}",
            table.name
        );
        let columns = table.sink_columns();
        let given = columns
            .iter()
            .zip(targets)
            .filter(|(_, target)| target.is_some());
        let names: Vec<String> = given
            .map(|(column, _)| format!("`{}`", table.columns[*column].name))
            .collect();
        let place = query.scope.columns.get(expected).map(|column| column.place);
        let fault = Fault::at(place.unwrap_or(insert.table.span.start), message);
        return Err(fault.help(format!("expected {}", names.join(", "))));
    }
    let mut columns = vec![];
    for (column, target) in table.sink_columns().into_iter().zip(targets) {
        let column = &table.columns[column];
        let wanted = &column.data_type;
        let Some(position) = target else {
            let null = Expr::literal(Literal::Null, wanted.clone());
            columns.push((column.name.clone(), null));
            continue;
        };
        let from = &query.scope.columns[*position];
        if !converts_implicitly(&from.data_type, wanted) {
            return Err(mismatch(
                &column.name,
                table,
                (&from.data_type, wanted),
                from.place,
            ));
        }
        let (name, data_type) = query.rel.fields[*position].clone();
        let expr = Expr::column(*position, name, data_type);
        columns.push((column.name.clone(), convert(expr, wanted)));
    }
    Ok(query.rel.project(columns))
}

fn mismatch(
    column: &str,
    table: &Table,
    (found, expected): (&DataType, &DataType),
    place: Place,
) -> Fault {
    let (from, to) = (sql_name(found), sql_name(expected));
    let message = format!(
        "column `{column}` of `{}`: found {from}, expected {to}",
        table.name
    );
    let fault = Fault::at(place, message);
    match crate::types::casts(found, expected) {
        true => fault.help(format!("write CAST(… AS {to})")),
        false => fault,
    }
}
