//! Damage and loss on start: whether each sink holds what the manifest says was committed, and from
//! which older checkpoint the pipeline can go on if something is damaged.
//!
//! Manifest e+1 is not written before every sink holds e, and a sink never holds more than the newest
//! manifest says. So a sink that holds less has lost rows, and one that holds more shows that
//! checkpoints were lost: the next epochs would be taken for repetitions.

use millstream_core::plan::Plan;
use millstream_core::sink::{EpochMark, Held, SinkContext};
use millstream_core::{Error, ErrorKind, Incarnation, Result};

use super::config::JobConfig;
use super::recovery::{OpenSinks, fingerprint};
use crate::checkpoint::{CheckpointStore, Manifest};

/// Checks that each sink holds what it got before `manifest`, or with it if there is a newer one.
///
/// # Errors
/// `Corrupt` if a sink holds less, `Conflict` if it holds more than the newest checkpoint.
pub(super) fn check_sinks(
    sinks: &OpenSinks,
    manifest: &Manifest,
    store: &CheckpointStore,
) -> Result<()> {
    for (sink, context) in sinks {
        let Some(held) = sink.held(context)? else {
            continue;
        };
        let expected = match store.is_newest() {
            true => manifest.sinks.get(&context.sink).and_then(|sink| sink.held),
            false => manifest.committed_by(&context.sink),
        };
        if let Some(expected) = expected.filter(|expected| held.last < Some(*expected)) {
            return Err(holds_less(&held, context, expected));
        }
        if let Some(found) = held.last
            && store.is_newest()
            && found > manifest.mark()
        {
            return Err(holds_more((&held, found), manifest, store));
        }
    }
    Ok(())
}

fn holds_less(held: &Held, context: &SinkContext, expected: EpochMark) -> Error {
    let (place, pipeline) = (&held.place, &context.pipeline);
    let found = match held.last {
        Some(last) => last.to_string(),
        None => "nothing".to_owned(),
    };
    Error::corrupt(format!(
        "{place} holds {found} of pipeline `{pipeline}`, expected {expected} or later: files of it \
         were removed or replaced by older ones, so rows are missing; put them back"
    ))
}

fn holds_more(
    (held, found): (&Held, EpochMark),
    manifest: &Manifest,
    store: &CheckpointStore,
) -> Error {
    let (place, pipeline, root) = (&held.place, &manifest.pipeline, store.root());
    let newest = match manifest.epoch.0 {
        0 => "which has no checkpoint".to_owned(),
        _ => format!("whose newest checkpoint is {}", manifest.mark()),
    };
    let message = format!(
        "{place} holds {found} of pipeline `{pipeline}`, {newest}: files in `{root}/manifests/` were \
         removed or replaced by older ones, and new rows would be taken for repetitions; put them \
         back, or {ANOTHER_NAME}"
    );
    Error::new(ErrorKind::Conflict, message)
}

const ANOTHER_NAME: &str = "give the pipeline another name with SET 'pipeline.name' = '…', under \
                            which it reads its input again from the beginning";

/// The error with what to do: for damage, the newest older checkpoint to go on from, if one is sound.
pub(super) fn with_way_back(error: Error, config: &JobConfig, store: &CheckpointStore) -> Error {
    if error.kind() != ErrorKind::Corrupt {
        return error;
    }
    // What cannot be read now cannot be offered.
    let sound = store.sound_before(|manifest| is_usable(manifest, config));
    Error::corrupt(match sound.ok().flatten() {
        Some(manifest) => format!(
            "{error}; the newest sound checkpoint is epoch {epoch}: `millstream run FILE \
             --from-epoch {epoch}` goes on from there (tables without a primary key may then hold \
             rows of later epochs twice)",
            epoch = manifest.epoch
        ),
        None => format!(
            "{error}; no older checkpoint is sound: restore the data directory from a backup, or \
             {ANOTHER_NAME}"
        ),
    })
}

/// Whether the plan can go on from an older manifest: every sink holds what it got until then.
fn is_usable(manifest: &Manifest, config: &JobConfig) -> bool {
    let plan: &Plan = &config.plan;
    let holds = |table: &str, expected: EpochMark| -> Result<bool> {
        let sink = plan.sinks.iter().find(|sink| sink.table == table);
        let Some(sink) = sink else { return Ok(false) };
        let context = SinkContext {
            pipeline: plan.options.name.clone(),
            incarnation: Incarnation(0),
            sink: table.to_owned(),
            run: manifest.epoch,
        };
        let held = config.connectors.sink(sink)?.held(&context)?;
        Ok(held.is_none_or(|held| held.last >= Some(expected)))
    };
    let tables = manifest.sinks.keys();
    manifest.fingerprint == fingerprint(plan)
        && tables
            .filter_map(|table| Some((table, manifest.committed_by(table)?)))
            .all(|(table, expected)| holds(table, expected).unwrap_or(false))
}
