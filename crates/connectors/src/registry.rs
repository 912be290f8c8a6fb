//! placeholder
use millstream_core::connector::ConnectorCatalog;
/// placeholder
pub const CATALOG: ConnectorCatalog = ConnectorCatalog {
    connectors: &[],
    formats: &[],
};
/// placeholder
pub struct Embedded;
