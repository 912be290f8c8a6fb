//! What all queries have in common: options, functions, memory.

use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use millstream_connectors::hot_table::DEFAULT_DATABASE;
use millstream_core::types::TIME_ZONE;

use super::bounded::{ConcatPlanner, bounded, is_refused};
use super::catalog;
use super::guard::Guards;

/// Rows that operators give at once. With fewer, less memory is held between them.
const BATCH_ROWS: usize = 2048;

/// A session without tables. All queries together hold at most `memory_bytes`.
pub fn template(memory_bytes: usize, threads: usize) -> SessionState {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory_bytes));
    let no_files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool.clone())
        .with_disk_manager_builder(no_files)
        .build_arc()
        .expect("no file or address is opened");
    let config = SessionConfig::new()
        .with_batch_size(BATCH_ROWS)
        .with_target_partitions(threads)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(catalog::NAME, DEFAULT_DATABASE)
        .set_str("datafusion.execution.time_zone", TIME_ZONE)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let guards = Guards {
        bytes_max: memory_bytes,
    };
    let mut template = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(guards))
        .build();
    register_functions(&mut template, &pool);
    template
}

fn register_functions(session: &mut SessionState, pool: &Arc<dyn MemoryPool>) {
    const REGISTERS: &str = "a session takes functions";
    // Flink's come last: some of DataFusion's have the name of one of them as an alias.
    let given: Vec<_> = session.scalar_functions().values().cloned().collect();
    for function in given.iter().filter(|function| is_refused(function)) {
        session.deregister_udf(function.name()).expect(REGISTERS);
    }
    for function in given.iter().filter(|function| !is_refused(function)) {
        let bounded = bounded(function, pool);
        if !Arc::ptr_eq(&bounded, function) {
            session.register_udf(bounded).expect(REGISTERS);
        }
    }
    for function in millstream_engine::function::all() {
        let bounded = bounded(&function, pool);
        session.register_udf(bounded).expect(REGISTERS);
    }
    let concat = session.udf("concat").expect("it was just registered");
    let planner = Arc::new(ConcatPlanner { concat });
    session.register_expr_planner(planner).expect(REGISTERS);
}
