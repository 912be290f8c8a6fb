//! What all that read a source filter by, told to the source: it may leave out files in which no row
//! passes. The filters stay where they are.

use arrow::datatypes::DataType;
use millstream_core::expr::{BinaryOp, Expr};
use millstream_core::plan::{NodeInput, Operator, Plan};

/// Gives each source the conditions of which every row that counts fulfils at least one.
pub(super) fn tell_sources(plan: &mut Plan) {
    for source in &mut plan.sources {
        let input = NodeInput::Source(source.id);
        let readers = plan
            .nodes
            .iter()
            .filter(|node| node.inputs.contains(&input));
        let conditions = readers.map(|node| match &node.operator {
            Operator::Filter(condition) => Some(condition.clone()),
            _ => None,
        });
        let conditions: Option<Vec<Expr>> = conditions.collect();
        let mut distinct: Vec<Expr> = vec![];
        for condition in conditions.unwrap_or_default() {
            if !distinct.contains(&condition) {
                distinct.push(condition);
            }
        }
        let either = |a, b| Expr::binary(BinaryOp::Or, a, b, DataType::Boolean);
        source.filter = distinct.into_iter().reduce(either);
    }
}
