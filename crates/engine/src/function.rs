//! placeholder

/// Flink's scalar functions as DataFusion functions, under their names in lower case.
pub fn all() -> Vec<std::sync::Arc<datafusion::logical_expr::ScalarUDF>> {
    vec![]
}
