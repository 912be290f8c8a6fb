//! Where HTTP is served: an address on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use millstream_core::{Error, Result};

/// Where HTTP is served unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The address that `text` (`127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`) names. Port 0 takes
/// any free port.
///
/// # Errors
/// `InvalidInput` for other text, and for an address off loopback: that needs authentication,
/// which is not there yet.
pub fn listen_address(text: &str) -> Result<SocketAddr> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse(),
        None => text.parse::<SocketAddr>(),
    };
    let address = address.map_err(|_| {
        Error::invalid(format!(
            "`{text}` is not an address; expected for example 127.0.0.1:8080"
        ))
    })?;
    if !address.ip().is_loopback() {
        let port = address.port();
        return Err(Error::invalid(format!(
            "`{text}`: off loopback needs authentication, which is not built yet; use --listen \
             127.0.0.1:{port}"
        )));
    }
    Ok(address)
}
