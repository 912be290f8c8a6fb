//! What a changed plan takes over of a checkpoint: nothing that would make results other than the new plan
//! says, and other than a user would think, without saying so.
//!
//! | | |
//! |---|---|
//! | keep | the same state means the same: the operator goes on |
//! | rebuild | the operator's input is read again up to where the pipeline was, for its state alone |
//! | new | it begins empty: nothing was read yet, or the user says so |
//! | drop | nobody needs the state any more |
//! | refused | none of these would be right |
//!
//! Pure: it compares two descriptions (see `lineage`). Who carries it out: [`super::recovery`].

use std::collections::BTreeSet;
use std::fmt;

use millstream_core::plan::{
    Join, JoinOn, Node, NodeInput, Operator, Plan, SourcePlan, WindowKind,
};
use millstream_core::{Error, NodeId, Result, TimeDomain};
use serde::Serialize;

use super::trail::{BEGINNING, is_sensitive, starts};
use crate::checkpoint::Manifest;
use crate::checkpoint::description::{OperatorDescription, PlanDescription, SourceDescription};
use crate::checkpoint::lineage::{describe, sources_before};

mod sinks;

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It goes on.
    Keep,
    /// Its input is read again.
    Rebuild,
    /// It begins empty.
    New,
    /// It is not needed any more.
    Drop,
    /// It cannot go on.
    Refused,
}

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A table that is read.
    Source,
    /// An operator that keeps state.
    Operator,
    /// A table that is written.
    Sink,
}

/// What becomes of one part of a pipeline, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is.
    pub part: Part,
    /// The table; of an operator, what it does and the tables that its rows go to.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Why.
    pub reason: String,
    /// The operator in the old plan.
    #[serde(skip)]
    pub from: Option<NodeId>,
    /// The operator in the new plan.
    #[serde(skip)]
    pub to: Option<NodeId>,
}

impl Change {
    fn new(part: Part, name: impl Into<String>, fate: Fate, reason: impl Into<String>) -> Self {
        Self {
            part,
            name: name.into(),
            fate,
            reason: reason.into(),
            from: None,
            to: None,
        }
    }

    fn of_operator(operator: &OperatorDescription, fate: Fate, reason: impl Into<String>) -> Self {
        let tables: Vec<String> = operator.sinks.iter().map(|it| format!("`{it}`")).collect();
        let name = format!("{} for {}", operator.text, tables.join(", "));
        Self::new(Part::Operator, name, fate, reason)
    }
}

/// What a plan takes over of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// Sources, operators, sinks.
    pub changes: Vec<Change>,
}

impl Upgrade {
    /// What speaks against it.
    pub fn refusals(&self) -> impl Iterator<Item = &Change> {
        self.of(Fate::Refused)
    }

    /// Those that come to `fate`.
    pub fn of(&self, fate: Fate) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |it| it.fate == fate)
    }

    /// Where operators that are kept were and are.
    pub(super) fn kept(&self) -> impl Iterator<Item = (NodeId, NodeId)> {
        let kept = self.of(Fate::Keep);
        kept.filter_map(|change| Some((change.from?, change.to?)))
    }

    /// The operators that are rebuilt.
    pub(super) fn rebuilt(&self) -> BTreeSet<NodeId> {
        self.of(Fate::Rebuild).filter_map(|it| it.to).collect()
    }

    /// Whether the source `table` is read on from where it was.
    pub(super) fn keeps_source(&self, table: &str) -> bool {
        let mut kept = self.of(Fate::Keep);
        kept.any(|it| it.part == Part::Source && it.name == table)
    }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.changes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let fate = match change.fate {
                Fate::Keep => "keep",
                Fate::Rebuild => "rebuild",
                Fate::New => "new",
                Fate::Drop => "drop",
                Fate::Refused => "REFUSED",
            };
            let part = match change.part {
                Part::Source => "source ",
                Part::Operator => "",
                Part::Sink => "sink ",
            };
            write!(f, "{fate:<8} {part}{}: {}", change.name, change.reason)?;
        }
        Ok(())
    }
}

/// Compares `plan` with the plan of a manifest. `dropped`: the tables whose state the user gives up.
///
/// # Errors
/// `InvalidInput` if the manifest does not say what its plan was, or `dropped` names no table.
pub fn compare(manifest: &Manifest, plan: &Plan, dropped: &BTreeSet<String>) -> Result<Upgrade> {
    let Some(old) = &manifest.plan else {
        return Err(Error::invalid(format!(
            "pipeline `{}` has state of another plan (found {}, expected {}), of an earlier build that did \
             not note what its plan was: its queries or tables have changed since epoch {}. Run the old \
             file once with this build, or give the new one a name of its own with SET 'pipeline.name' = '…'",
            manifest.pipeline,
            manifest.fingerprint,
            super::recovery::fingerprint(plan),
            manifest.epoch
        )));
    };
    let new = describe(plan)?;
    check_dropped(dropped, old, &new)?;
    let comparison = Comparison {
        manifest,
        read: read_so_far(manifest, plan),
        plan,
        old,
        new: &new,
        dropped,
    };
    let mut changes = comparison.sources();
    changes.extend(comparison.operators());
    changes.extend(sinks::compare(old, &new));
    if manifest.finished {
        for change in &mut changes {
            if matches!(change.fate, Fate::New | Fate::Rebuild) {
                change.fate = Fate::Refused;
                change.reason = "the pipeline has read all its input, so it would get nothing; \
                                 another pipeline.name reads it again"
                    .to_owned();
            }
        }
    }
    Ok(Upgrade { changes })
}

fn check_dropped(
    dropped: &BTreeSet<String>,
    old: &PlanDescription,
    new: &PlanDescription,
) -> Result<()> {
    let sources = old.sources.iter().chain(&new.sources).map(|it| &it.table);
    let sinks = old.sinks.iter().chain(&new.sinks).map(|it| &it.table);
    let tables: BTreeSet<&String> = sources.chain(sinks).collect();
    match dropped.iter().find(|name| !tables.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let tables: Vec<&str> = tables.iter().map(|it| it.as_str()).collect();
            Err(Error::invalid(format!(
                "no table `{name}` whose state could be dropped; there are: {}",
                tables.join(", ")
            )))
        }
    }
}

/// How far the sources of the new plan have been read; of its operators nothing is known yet.
fn read_so_far(manifest: &Manifest, plan: &Plan) -> Manifest {
    let sources = plan.sources.iter().map(|source| {
        let progress = manifest.sources.get(&source.table);
        (source.table.clone(), progress.cloned().unwrap_or_default())
    });
    Manifest {
        sources: sources.collect(),
        nodes: vec![],
        segments: vec![],
        ..manifest.clone()
    }
}

struct Comparison<'a> {
    manifest: &'a Manifest,
    read: Manifest,
    plan: &'a Plan,
    old: &'a PlanDescription,
    new: &'a PlanDescription,
    dropped: &'a BTreeSet<String>,
}

impl Comparison<'_> {
    fn sources(&self) -> Vec<Change> {
        let find = |list: &[SourceDescription], table: &str| {
            list.iter().find(|source| source.table == table).cloned()
        };
        let new = self.new.sources.iter();
        let mut changes: Vec<Change> = new
            .map(|new| {
                let (fate, reason) = match find(&self.old.sources, &new.table) {
                    Some(old) => self.source(&old, new),
                    None => (Fate::New, "it was not read before".to_owned()),
                };
                Change::new(Part::Source, &new.table, fate, reason)
            })
            .collect();
        let gone = self.old.sources.iter();
        let gone = gone.filter(|old| find(&self.new.sources, &old.table).is_none());
        changes.extend(gone.map(|old| {
            let table = &old.table;
            let (fate, reason) = match self.dropped.contains(table) {
                true => (Fate::Drop, "as told".to_owned()),
                false => (
                    Fate::Refused,
                    format!(
                        "no query reads it any more, so where it was would be forgotten, and it would be \
                         read from its beginning if it came back; `--drop-state {table}` forgets it"
                    ),
                ),
            };
            Change::new(Part::Source, table, fate, reason)
        }));
        changes
    }

    fn source(&self, old: &SourceDescription, new: &SourceDescription) -> (Fate, String) {
        let table = &new.table;
        if self.dropped.contains(table) {
            let reason = "it is read from its beginning, as told: what it gave comes again";
            return (Fate::New, reason.to_owned());
        }
        if old.watermark_fingerprint != new.watermark_fingerprint {
            let shown = |text: &str| match text {
                "" => "there was none".to_owned(),
                text => format!("it was `{text}`"),
            };
            let reason = format!(
                "its WATERMARK has changed ({}): which rows are late, and when windows end, would change in \
                 the middle of windows; give the pipeline another pipeline.name, or read it from its beginning with `--drop-state \
                 {table}`",
                shown(&old.watermark)
            );
            return (Fate::Refused, reason);
        }
        if old.place == new.place {
            return (Fate::Keep, "it is read on where it was".to_owned());
        }
        let reason = format!(
            "its rows were in {}, and are in {} now, where its offsets mean nothing; `--drop-state {table}` \
             reads it from its beginning",
            old.place, new.place
        );
        (Fate::Refused, reason)
    }

    fn operators(&self) -> Vec<Change> {
        let mut left: Vec<&OperatorDescription> = self.old.operators.iter().collect();
        let mut matched: Vec<Option<&OperatorDescription>> = vec![None; self.new.operators.len()];
        // Equal ones first by the tables that they are for.
        for by_sinks in [true, false] {
            for (place, new) in matched.iter_mut().zip(&self.new.operators) {
                let fits = |old: &&OperatorDescription| {
                    old.fingerprint == new.fingerprint && (!by_sinks || old.sinks == new.sinks)
                };
                if place.is_none()
                    && let Some(at) = left.iter().position(fits)
                {
                    *place = Some(left.remove(at));
                }
            }
        }
        let mut changes = vec![];
        for (new, old) in self.new.operators.iter().zip(matched) {
            let node = &self.plan.nodes[new.node.index()];
            let change = match old {
                Some(_) if self.begins_again(node) => {
                    self.begun_again(new, "it computes the same".to_owned())
                }
                Some(old) => match lateness_reason(old, new, node) {
                    None => Change {
                        from: Some(old.node),
                        ..Change::of_operator(new, Fate::Keep, "it computes the same")
                    },
                    Some(reason) => self.begun_again(new, reason),
                },
                None => self.begun_again(new, changed_reason(new, &left)),
            };
            changes.push(Change {
                to: Some(new.node),
                ..change
            });
        }
        let gone = left.into_iter().map(|old| {
            let is_replaced = replacing(old, self.new.operators.iter()).is_some();
            let reason = match is_replaced {
                true => "another takes its place",
                false => "no query needs it any more",
            };
            Change::of_operator(old, Fate::Drop, reason)
        });
        changes.extend(gone);
        changes
    }

    /// What becomes of an operator that has no state to take over.
    fn begun_again(&self, new: &OperatorDescription, reason: String) -> Change {
        let node = &self.plan.nodes[new.node.index()];
        let sources = sources_before(self.plan, node);
        let tables = sources
            .iter()
            .map(|id| &self.plan.sources[id.index()].table);
        let known: Vec<&String> = tables.filter(|table| self.has_been_read(table)).collect();
        if self.begins_again(node) {
            let reason = format!("{reason}; its input is read from the beginning, as told");
            return Change::of_operator(new, Fate::New, reason);
        }
        if known.is_empty() {
            let reason = format!("{reason}; nothing of its input has been read yet");
            return Change::of_operator(new, Fate::New, reason);
        }
        if new.sinks.iter().any(|sink| self.dropped.contains(sink)) {
            let reason =
                format!("{reason}; it begins empty, as told: what was read before is not in it");
            return Change::of_operator(new, Fate::New, reason);
        }
        let known: Vec<String> = known.iter().map(|table| format!("`{table}`")).collect();
        let known = known.join(", ");
        match self.why_not_again(node) {
            None => {
                let reason = format!("{reason}; {known} is read again for it, up to where it was");
                Change::of_operator(new, Fate::Rebuild, reason)
            }
            Some(why) => {
                let sink = new.sinks.first().map_or("TABLE", String::as_str);
                let reason = format!(
                    "{reason}; {known} cannot be read again for it, as {why}; `--drop-state {sink}` lets \
                     it begin empty here, without what was read before"
                );
                Change::of_operator(new, Fate::Refused, reason)
            }
        }
    }

    /// Why reading the input of a node again would not give what it has been, if so.
    fn why_not_again(&self, node: &Node) -> Option<&'static str> {
        let plan = self.plan;
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if let Some(why) = why_differs(plan, node) {
                return Some(why);
            }
            open.extend(node.inputs.iter().filter_map(|input| match input {
                NodeInput::Node(id) => Some(&plan.nodes[id.index()]),
                NodeInput::Source(_) => None,
            }));
        }
        let moves_time = |source: &SourcePlan| {
            let timeout = source
                .event_time
                .as_ref()
                .and_then(|spec| spec.idle_timeout_ms);
            timeout.is_some() || source.connector.get("source.monitor-interval").is_some()
        };
        let mut sources = sources_before(plan, node).into_iter();
        if is_sensitive(plan, node.id) && sources.any(|id| moves_time(&plan.sources[id.index()])) {
            return Some("which of its rows were late depended on when others came");
        }
        let begins_elsewhere = |table: &str| {
            let mut sources = plan.sources.iter().filter(|source| source.table == table);
            let mode = sources.find_map(|source| source.connector.get("scan.startup.mode"));
            mode.is_some_and(|mode| mode != "earliest-offset" && mode != "group-offsets")
        };
        let starts = starts(plan, &self.read, &BTreeSet::from([node.id]));
        let mut tables = starts.iter().filter(|(table, _)| begins_elsewhere(table));
        let is_unknown = tables.any(|(_, splits)| splits.values().any(|at| *at == BEGINNING));
        is_unknown.then_some("'scan.startup.mode' does not say where it began")
    }

    /// Whether a source before it is read from its beginning: then older state would count rows twice.
    fn begins_again(&self, node: &Node) -> bool {
        let mut sources = sources_before(self.plan, node).into_iter();
        sources.any(|id| self.dropped.contains(&self.plan.sources[id.index()].table))
    }

    fn has_been_read(&self, table: &str) -> bool {
        let progress = self.manifest.sources.get(table);
        progress.is_some_and(|progress| progress.counters.rows_read > 0)
    }
}

/// Why an operator that computes the same cannot go on: its windows take rows in for another time.
fn lateness_reason(
    old: &OperatorDescription,
    new: &OperatorDescription,
    node: &Node,
) -> Option<String> {
    let (before, now) = (old.allowed_lateness_ms, new.allowed_lateness_ms);
    // Where a row can be in several windows, its place tells which of them it missed by the old lateness.
    let is_in_one = matches!(
        &node.operator,
        Operator::WindowAggregate(aggregate)
            if matches!(aggregate.window.kind, WindowKind::Tumble { .. } | WindowKind::Same(_))
    );
    let is_kept = before == now || (now > 0 && now < before && is_in_one);
    (!is_kept).then(|| {
        format!(
            "its allowed lateness was {before} ms, is {now} ms: windows that have ended are kept otherwise"
        )
    })
}

/// The first of `others` that is for the same tables and does the same kind of thing.
fn replacing<'a>(
    operator: &OperatorDescription,
    mut others: impl Iterator<Item = &'a OperatorDescription>,
) -> Option<&'a OperatorDescription> {
    let kind = |operator: &OperatorDescription| operator.text.split(' ').next().map(str::to_owned);
    others.find(|other| {
        let shares = other.sinks.iter().any(|sink| operator.sinks.contains(sink));
        shares && kind(other) == kind(operator)
    })
}

fn changed_reason(new: &OperatorDescription, left: &[&OperatorDescription]) -> String {
    let Some(old) = replacing(new, left.iter().copied()) else {
        return "it is new".to_owned();
    };
    let both = old.aspects.iter().zip(&new.aspects);
    let changed = both.filter(|(old, new)| old != new);
    let changed =
        changed.map(|((name, old), (_, new))| format!("its {name} changed from {old} to {new}"));
    let changed: Vec<String> = changed.collect();
    match changed.is_empty() {
        true => "columns that it reads are computed in another way".to_owned(),
        false => changed.join("; "),
    }
}

fn why_differs(plan: &Plan, node: &Node) -> Option<&'static str> {
    let looks = |expr: &millstream_core::expr::Expr| expr.looks(|_| true);
    let domain = match &node.operator {
        Operator::AssignWindow(window) => window.domain,
        Operator::WindowAggregate(aggregate) => aggregate.window.domain,
        Operator::Over(over) => over.domain,
        Operator::Join(Join {
            on: JoinOn::Interval { domain, .. },
            ..
        }) => *domain,
        _ => TimeDomain::Event,
    };
    if domain == TimeDomain::Processing {
        return Some("it goes by processing time");
    }
    if let Some(table) = node.operator.table()
        && plan.tables[table.index()].is_refreshed
    {
        return Some("a table that it is joined with may have changed since");
    }
    let is_of_now = match &node.operator {
        Operator::Filter(predicate) => looks(predicate),
        Operator::Project(exprs) => exprs.iter().any(looks),
        _ => false,
    };
    is_of_now.then_some("it uses a function of the clock or of chance")
}
