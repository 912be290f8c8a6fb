//! The tables that are written: results, late events and dead letters.
//!
//! Without a setting, late events and dead letters of table `t` go to hot tables `t_late` and
//! `t_dead` that are made up here; a generator, which needs no format, has neither. A declared table
//! is filled by the names of its columns.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, SchemaRef};
use millstream_core::SinkId;
use millstream_core::plan::{
    ConnectorConfig, DeadLetterColumn, DeadLetters, LateColumn, LateEvents, SinkPlan, SinkRole,
};
use millstream_core::types::{sql_name, timestamp};

use crate::catalog::{Catalog, Table};
use crate::diagnostic::{Fault, Origin, Result};
use crate::emit::{schema_of, shape, sink_id};
use crate::settings::{Settings, Target};

/// The connector of tables that are made up: a hot table.
const HOT_TABLE: &str = "clickhouse";

const DEAD_COLUMNS: [(&str, DeadLetterColumn); 5] = [
    ("raw", DeadLetterColumn::Raw),
    ("source_table", DeadLetterColumn::SourceTable),
    ("split", DeadLetterColumn::Split),
    ("offset", DeadLetterColumn::Offset),
    ("error", DeadLetterColumn::Error),
];

fn late_columns() -> [(&'static str, DataType, LateColumn); 4] {
    [
        ("late_for", DataType::Utf8, LateColumn::LateFor),
        ("window_start", timestamp(3), LateColumn::WindowStart),
        ("window_end", timestamp(3), LateColumn::WindowEnd),
        ("watermark", timestamp(3), LateColumn::Watermark),
    ]
}

/// Collects the sinks of a plan.
pub(crate) struct Sinks<'a> {
    catalog: &'a Catalog,
    plans: Vec<SinkPlan>,
    /// Which declared table is which sink.
    of_tables: BTreeMap<usize, SinkId>,
}

impl<'a> Sinks<'a> {
    /// None yet.
    pub fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            plans: vec![],
            of_tables: BTreeMap::new(),
        }
    }

    /// The sink for results of table `index`.
    pub fn results(&mut self, index: usize) -> SinkId {
        match self.of_tables.get(&index) {
            Some(id) => *id,
            None => self.declared(index, SinkRole::Results),
        }
    }

    /// The columns of a sink.
    pub fn schema(&self, id: SinkId) -> SchemaRef {
        self.plans[id.index()].schema.clone()
    }

    /// All sinks.
    pub fn into_plans(self) -> Vec<SinkPlan> {
        self.plans
    }

    fn declared(&mut self, index: usize, role: SinkRole) -> SinkId {
        let table = &self.catalog.tables[index];
        let columns = table.sink_columns();
        let fields: Vec<(String, DataType)> = columns
            .iter()
            .map(|column| &table.columns[*column])
            .map(|column| (column.name.clone(), column.data_type.clone()))
            .collect();
        let key = table.primary_key.iter();
        let primary_key = key.filter_map(|key| columns.iter().position(|column| column == key));
        let primary_key = primary_key.collect();
        let id = self.push(
            &table.name,
            table.connector.clone(),
            (fields, primary_key),
            role,
        );
        self.of_tables.insert(index, id);
        id
    }

    fn push(
        &mut self,
        table: &str,
        connector: ConnectorConfig,
        (fields, primary_key): (Vec<(String, DataType)>, Vec<usize>),
        role: SinkRole,
    ) -> SinkId {
        let id = sink_id(self.plans.len());
        self.plans.push(SinkPlan {
            id,
            table: table.to_owned(),
            connector,
            schema: schema_of(&fields),
            primary_key,
            role,
        });
        id
    }

    fn hot_table(
        &mut self,
        name: &str,
        source: &Table,
        fields: Vec<(String, DataType)>,
        role: SinkRole,
    ) -> Result<SinkId> {
        if let Some(index) = self.catalog.table(name) {
            let what = setting_of(role);
            let place = self.catalog.tables[index]
                .columns
                .first()
                .map(|column| column.place);
            let message = format!(
                "`{name}` is also what the {} of `{}` are called",
                what.replace('-', " "),
                source.name
            );
            let fault = Fault::at(place.unwrap_or(source.primary_key_place), message);
            let set = format!("SET 'millstream.{}.{what}'", source.name);
            return Err(fault.help(format!("{set} = '{name}', another table or 'none'")));
        }
        let connector = ConnectorConfig {
            connector: HOT_TABLE.to_owned(),
            options: BTreeMap::new(),
        };
        Ok(self.push(name, connector, (fields, vec![]), role))
    }

    /// Where late rows of table `index` go.
    pub fn late_events(&mut self, index: usize, settings: &Settings) -> Result<Option<LateEvents>> {
        let source = &self.catalog.tables[index];
        let (target, place) = match settings.late_events(&source.name, self.catalog)? {
            Target::None => return Ok(None),
            // Made-up rows can be made again, and every column of theirs would have to be made.
            Target::Default if !source.info.needs_format => return Ok(None),
            Target::Default => return self.default_late_events(source).map(Some),
            Target::Table(target, place) => (target, place),
        };
        let table = &self.catalog.tables[target];
        self.check_target(target, &place)?;
        let mut needed = BTreeSet::new();
        let mut columns = vec![];
        for column in table.sink_columns() {
            let column = &table.columns[column];
            let wrong = |expected: &DataType| {
                let (found, expected) = (sql_name(&column.data_type), sql_name(expected));
                let message = format!(
                    "column `{}` of `{}` is {found}, expected {expected}",
                    column.name, table.name
                );
                Fault::at(&place, message)
            };
            if let Some(position) = source.column(&column.name) {
                let expected = &source.columns[position].data_type;
                if *expected != column.data_type {
                    return Err(wrong(expected));
                }
                needed.insert(position);
                columns.push(LateColumn::Source(position));
                continue;
            }
            let specials = late_columns();
            let special = specials.iter().find(|(name, ..)| *name == column.name);
            let Some((_, expected, special)) = special else {
                let message = format!(
                    "column `{}` of `{}` is neither a column of `{}` nor one of late events",
                    column.name, table.name, source.name
                );
                let of_source = source.columns.iter().map(|column| column.name.as_str());
                let known = of_source.chain(specials.iter().map(|(name, ..)| *name));
                return Err(Fault::at(&place, message).near(&column.name, known));
            };
            if *expected != column.data_type {
                return Err(wrong(expected));
            }
            columns.push(special.clone());
        }
        let (shape, positions) = shape(source, &needed);
        for column in &mut columns {
            if let LateColumn::Source(position) = column {
                *position = positions[*position].expect("added to the needed ones");
            }
        }
        let sink = self.declared(target, SinkRole::LateEvents);
        Ok(Some(LateEvents {
            sink,
            shape,
            columns,
        }))
    }

    fn default_late_events(&mut self, source: &Table) -> Result<LateEvents> {
        let (shape, positions) = shape(source, &(0..source.columns.len()).collect());
        let mut fields: Vec<(String, DataType)> = vec![];
        let mut columns = vec![];
        for (column, position) in source.columns.iter().zip(positions) {
            fields.push((column.name.clone(), column.data_type.clone()));
            columns.push(LateColumn::Source(
                position.expect("all columns are needed"),
            ));
        }
        for (name, data_type, column) in late_columns() {
            let mut name = name.to_owned();
            while fields.iter().any(|(known, _)| *known == name) {
                name = format!("late_{name}");
            }
            fields.push((name, data_type));
            columns.push(column);
        }
        let name = format!("{}_late", source.name);
        let sink = self.hot_table(&name, source, fields, SinkRole::LateEvents)?;
        Ok(LateEvents {
            sink,
            shape,
            columns,
        })
    }

    /// Where undecodable records of table `index` go.
    pub fn dead_letters(
        &mut self,
        index: usize,
        settings: &Settings,
    ) -> Result<Option<DeadLetters>> {
        let source = &self.catalog.tables[index];
        if !source.info.needs_format {
            return Ok(None);
        }
        let (target, place) = match settings.dead_letters(&source.name, self.catalog)? {
            Target::None => return Ok(None),
            Target::Default => return self.default_dead_letters(source).map(Some),
            Target::Table(target, place) => (target, place),
        };
        let table = &self.catalog.tables[target];
        self.check_target(target, &place)?;
        let mut columns = vec![];
        for column in table.sink_columns() {
            let column = &table.columns[column];
            let known = DEAD_COLUMNS.iter().find(|(name, _)| *name == column.name);
            let Some((name, kind)) = known else {
                let message = format!(
                    "column `{}` of `{}` is not one of dead letters",
                    column.name, table.name
                );
                let known = DEAD_COLUMNS.iter().map(|(name, _)| *name);
                return Err(Fault::at(&place, message).near(&column.name, known));
            };
            let is_text = *kind == DeadLetterColumn::Raw && column.data_type == DataType::Utf8;
            let expected = dead_type(*kind);
            if column.data_type != expected && !is_text {
                let message = format!(
                    "column `{name}` of `{}` is {}, expected {}",
                    table.name,
                    sql_name(&column.data_type),
                    sql_name(&expected)
                );
                return Err(Fault::at(&place, message));
            }
            columns.push(*kind);
        }
        let sink = self.declared(target, SinkRole::DeadLetters);
        Ok(Some(DeadLetters { sink, columns }))
    }

    fn default_dead_letters(&mut self, source: &Table) -> Result<DeadLetters> {
        let fields = DEAD_COLUMNS.map(|(name, kind)| (name.to_owned(), dead_type(kind)));
        let name = format!("{}_dead", source.name);
        let sink = self.hot_table(&name, source, fields.into(), SinkRole::DeadLetters)?;
        let columns = DEAD_COLUMNS.map(|(_, kind)| kind).into();
        Ok(DeadLetters { sink, columns })
    }

    /// Fails unless table `index` can take late events or dead letters.
    fn check_target(&self, index: usize, place: &Origin) -> Result<()> {
        let table = &self.catalog.tables[index];
        let name = &table.name;
        let wrong = if self.of_tables.contains_key(&index) {
            format!("table `{name}` is written by something else already")
        } else if !table.info.is_sink {
            format!(
                "table `{name}` cannot be written: connector `{}` only reads",
                table.info.name
            )
        } else if !table.primary_key.is_empty() {
            format!("table `{name}` has a PRIMARY KEY, so rows would replace each other")
        } else if table.sink_columns().is_empty() {
            format!("table `{name}` has no columns to write")
        } else {
            return Ok(());
        };
        Err(Fault::at(place, wrong))
    }
}

fn dead_type(column: DeadLetterColumn) -> DataType {
    match column {
        DeadLetterColumn::Offset => DataType::Int64,
        // As they came: a text would have no place for what is not UTF-8.
        DeadLetterColumn::Raw => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn setting_of(role: SinkRole) -> &'static str {
    match role {
        SinkRole::LateEvents => "late-events",
        _ => "dead-letters",
    }
}
