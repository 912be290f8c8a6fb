//! The spec: every file of `tests/slt`, one test each, so that a failure names the promise.

use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt")
}

macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let path = folder().join(concat!(stringify!($name), ".slt"));
                if let Err(report) = millstream_sim::slt::check_file(&path) {
                    panic!("{report:#}");
                }
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

files![
    aggregates_composite,
    aggregates_json,
    aggregates_ordered,
    aggregates_statistics,
    allowed_lateness,
    anomalies,
    avg_sum_types,
    cascade,
    cascades_mixed,
    case_and_cast,
    collections,
    count_distinct,
    cumulate,
    damaged_records,
    dead_letters,
    early_fire,
    early_fire_refused,
    empty_input,
    empty_sides,
    filter_clause,
    functions_collections,
    functions_text,
    functions_times,
    group_windows,
    grouping_sets,
    having,
    hop,
    hop_columns,
    idle_joins,
    idle_split,
    interval_bounds,
    interval_joins,
    join_chains,
    join_keys,
    joins_using,
    json_functions,
    keep_first,
    late_for_some_windows,
    late_in_part,
    late_per_query,
    late_rows,
    lookup_cache,
    metadata_columns,
    missing_event_time,
    negative_times,
    nested_rows,
    now,
    null_values,
    nulls_in_keys,
    over_aggregate,
    proctime,
    proctime_intervals,
    proctime_over,
    proctime_refused,
    proctime_windows,
    projection_functions,
    refused,
    restarts,
    rollup_cube,
    session,
    session_cascade,
    session_groups,
    session_joins,
    session_late,
    session_restarts,
    shared_steps,
    statement_set,
    table_joins,
    tumble_count,
    tumble_offset,
    two_queries_one_source,
    union_all,
    unnest,
    upsert_by_key,
    user_functions,
    views,
    watermark_min_over_partitions,
    window_dedup,
    window_joins,
    window_start_in_where,
    window_top_n,
    wrong_types,
];

#[test]
fn every_file_has_its_test() {
    let entries = std::fs::read_dir(folder()).expect("tests/slt is there");
    let names = entries.map(|entry| entry.expect("a readable entry").file_name());
    let mut files: Vec<String> = names
        .filter_map(|name| {
            name.to_string_lossy()
                .strip_suffix(".slt")
                .map(String::from)
        })
        .collect();
    files.sort();
    assert_eq!(files, NAMES, "list the file in crates/sim/tests/slt.rs");
}
