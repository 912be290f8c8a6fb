//! Processing time over a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::AsArray;
use arrow::datatypes::{Field, Schema, TimestampMillisecondType};
use millstream_core::expr::Expr;
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{Node, NodeInput, Operator, Plan};
use millstream_core::types::timestamp_ltz;
use millstream_core::{NodeId, SinkId, SourceId};
use millstream_engine::{JobConfig, StepJob};

use crate::world::{Random, TestEnv, config, plan, world};

/// Writes when each row was read.
fn times() -> Plan {
    let schema = Arc::new(Schema::new(vec![Field::new("now", timestamp_ltz(3), true)]));
    let node = |id, input, operator| Node {
        id: NodeId(id),
        inputs: vec![input],
        operator,
        schema: schema.clone(),
    };
    let now = Expr::call("NOW", vec![], timestamp_ltz(3));
    let source = NodeInput::Source(SourceId(0));
    let sink = Operator::Sink(SinkId(0));
    Plan {
        nodes: vec![
            node(0, source, Operator::Project(vec![now])),
            node(1, NodeInput::Node(NodeId(0)), sink),
        ],
        ..plan()
    }
}

#[test]
fn processing_time_does_not_go_back_over_a_restart() {
    let records = vec!["1,a".to_owned(), "2,b".to_owned()];
    let world = world(&[("split".to_owned(), records)]);
    let storage = MemoryStorage::default();
    // The machine's clock is put back by a minute in between.
    for start_ms in [100_000, 40_000] {
        let env = TestEnv::default();
        env.now.store(start_ms, Ordering::SeqCst);
        let config = JobConfig {
            plan: Arc::new(times()),
            parallelism: 1,
            batch_rows: 1,
            env: Arc::new(env),
            ..config(&world, &storage, &mut Random(1))
        };
        let mut job = StepJob::open(config).unwrap();
        assert!(job.poll().unwrap());
        job.checkpoint().unwrap();
    }
    let rows = world.sinks[0].rows();
    let times = rows.iter().map(|rows| {
        let times = rows.column(0).as_primitive::<TimestampMillisecondType>();
        times.value(0)
    });
    let times: Vec<i64> = times.collect();
    assert!(times.len() == 2 && times[0] >= 100_000, "{times:?}");
    assert!(times[1] >= times[0], "{times:?}");
}
