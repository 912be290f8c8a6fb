//! Makes the manifest of a changed plan out of that of the plan before: state under its new numbers,
//! offsets of the sources that stay, what sinks have got.
//!
//! What the old plan staged last is committed first, each sink as it was: afterwards nobody would know
//! how. CRASH: until the claim the old manifest is the newest, and all this is done again.

use std::collections::BTreeSet;

use millstream_core::plan::Plan;
use millstream_core::sink::SinkContext;
use millstream_core::{Error, NodeId, Result, Watermark};

use super::config::JobConfig;
use super::recovery::{commit, fingerprint, first_manifest};
use super::upgrade::{self, Upgrade};
use crate::checkpoint::lineage::describe;
use crate::checkpoint::{Manifest, SegmentRef, SinkProgress, SourceProgress};

/// The manifest to go on from, and the operators whose state has to be made anew. `is_newest`: whether what
/// it staged may not be committed yet.
pub(super) fn adopted(
    manifest: Manifest,
    is_newest: bool,
    config: &JobConfig,
) -> Result<(Manifest, BTreeSet<NodeId>)> {
    let plan = &config.plan;
    if manifest.is_blank() && manifest.fingerprint != fingerprint(plan) {
        let blank = Manifest {
            incarnation: manifest.incarnation,
            epoch: manifest.epoch,
            is_claim: manifest.is_claim,
            previous: manifest.previous,
            ..first_manifest(config)?
        };
        return Ok((blank, BTreeSet::new()));
    }
    let Some(upgrade) = compared(&manifest, plan, &config.start.drop_state)? else {
        let plan = Some(describe(plan)?);
        return Ok((Manifest { plan, ..manifest }, BTreeSet::new()));
    };
    let refusals: Vec<String> = upgrade
        .refusals()
        .map(|change| format!("{}: {}", change.name, change.reason))
        .collect();
    if !refusals.is_empty() {
        return Err(Error::invalid(format!(
            "pipeline `{}` has changed since epoch {} so that it cannot go on: {}",
            manifest.pipeline,
            manifest.epoch,
            refusals.join("; ")
        )));
    }
    tracing::info!(%upgrade, "the pipeline has changed");
    if is_newest {
        commit_staged(&manifest, config)?;
    }
    Ok((translated(manifest, &upgrade, config)?, upgrade.rebuilt()))
}

/// What the plan takes over; `None` if it is the manifest's.
pub(super) fn compared(
    manifest: &Manifest,
    plan: &Plan,
    dropped: &BTreeSet<String>,
) -> Result<Option<Upgrade>> {
    if manifest.fingerprint == fingerprint(plan) {
        // The plan's text does not say where tables are.
        let described = manifest.plan.as_ref();
        if described.map_or(Ok(true), |known| Ok::<_, Error>(*known == describe(plan)?))? {
            return Ok(None);
        }
    }
    upgrade::compare(manifest, plan, dropped).map(Some)
}

/// Commits what the old plan staged.
fn commit_staged(manifest: &Manifest, config: &JobConfig) -> Result<()> {
    for (table, progress) in &manifest.sinks {
        if progress.staged.is_empty() {
            continue;
        }
        let described = manifest.plan.iter().flat_map(|plan| &plan.sinks);
        let described = described.into_iter().find(|sink| sink.table == *table);
        let described = described.ok_or_else(|| {
            Error::corrupt(format!(
                "a manifest has rows for `{table}`, which it does not describe"
            ))
        })?;
        let mut sinks = config.plan.sinks.iter();
        // A table that has got columns already takes rows without them.
        let sink = match sinks.find(|sink| described.is_place_of(sink)) {
            Some(same) => config.connectors.sink(same)?,
            None => config.connectors.sink(&described.plan()?)?,
        };
        let context = SinkContext {
            pipeline: manifest.pipeline.clone(),
            incarnation: manifest.incarnation,
            sink: table.clone(),
            run: manifest.epoch.next(),
        };
        commit(&*sink, &context, manifest)?;
    }
    Ok(())
}

fn translated(manifest: Manifest, upgrade: &Upgrade, config: &JobConfig) -> Result<Manifest> {
    let plan = &config.plan;
    let mut nodes = vec![Watermark::MIN; plan.nodes.len()];
    let mut segments: Vec<SegmentRef> = vec![];
    for segment in &manifest.segments {
        let kept = upgrade.kept().find(|(from, _)| *from == segment.node);
        segments.extend(kept.map(|(_, node)| SegmentRef {
            node,
            ..segment.clone()
        }));
    }
    for (from, to) in upgrade.kept() {
        let fired = manifest.nodes.get(from.index());
        nodes[to.index()] = fired.copied().unwrap_or(Watermark::MIN);
    }
    let sources = plan.sources.iter().map(|source| {
        let table = source.table.clone();
        let progress = match upgrade.keeps_source(&table) {
            true => manifest.sources.get(&table).cloned().unwrap_or_default(),
            false => SourceProgress::default(),
        };
        (table, progress)
    });
    let sinks = plan.sinks.iter().filter_map(|sink| {
        let progress = manifest.sinks.get(&sink.table)?;
        let progress = SinkProgress {
            held: manifest.committed_by(&sink.table),
            staged: vec![],
            ..progress.clone()
        };
        Some((sink.table.clone(), progress))
    });
    Ok(Manifest {
        fingerprint: fingerprint(plan),
        plan: Some(describe(plan)?),
        finished: false,
        sources: sources.collect(),
        nodes,
        segments,
        sinks: sinks.collect(),
        ..manifest
    })
}
