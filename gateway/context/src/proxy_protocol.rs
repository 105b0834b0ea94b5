//! The PROXY protocol, version 2: what a load balancer says about a connection before its first
//! byte (HAProxy's `proxy-protocol.txt`, §2.2).
//!
//! ```text
//!  0            12    13    14      16                    16+length
//!  │ signature  │ver/ │fam/ │length │ addresses │ TLVs …  │ then TLS or HTTP
//!  │            │cmd  │proto│       │           │ skipped │
//! ```
//!
//! Pure and incremental: the caller reads, asks, and reads on. Whether the peer may speak it at all
//! is for [`TrustedProxies`](crate::TrustedProxies) to say, and must be asked first.
//!
//! The text form, version 1, is refused: its length is not known in advance, and where one listener
//! takes both forms, or may take none, a client can choose what the gateway believes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use doorward_model::limits::PROXY_HEADER_BYTES_MAX;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY ";
const FIXED_BYTES: usize = 16;

/// What a complete header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Whose connection it is.
    pub origin: Origin,
    /// How many bytes the header takes; what follows belongs to TLS or HTTP.
    pub len: usize,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The proxy's own, such as a health check: its address is the one of the connection.
    Local,
    /// A client's, by its addresses before the proxy. Both are canonical: no IPv4 inside IPv6.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The header is not complete: read until there are at least this many bytes.
    NeedsMore {
        /// Counted from the first byte of the connection.
        bytes_min: usize,
    },
    /// The header is complete.
    Complete(ProxyHeader),
}

/// Why the bytes are not a header. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyProtocolError {
    /// The text form.
    #[error(
        "the peer speaks version 1 of the PROXY protocol; set it to version 2 (`send-proxy-v2` in HAProxy)"
    )]
    Version1,
    /// Something else altogether, such as TLS or HTTP.
    #[error(
        "the connection does not begin with a PROXY protocol header; turn it on at the peer, or off on this \
         listener"
    )]
    NoSignature,
    /// A version that does not exist.
    #[error("the PROXY protocol header has version {0}; only version 2 is read")]
    Version(u8),
    /// A command that does not exist.
    #[error("the PROXY protocol header has the unknown command {0}")]
    Command(u8),
    /// The proxy does not say whose connection it is, or it is no TCP connection.
    #[error(
        "the PROXY protocol header has the address family and transport {0:#04x}, which names no TCP client; \
         let the peer listen on TCP over IPv4 or IPv6"
    )]
    Family(u8),
    /// Longer than the specification lets a sender go.
    #[error("the PROXY protocol header has {bytes} bytes, more than {PROXY_HEADER_BYTES_MAX}")]
    TooLong {
        /// What it announces, its fixed part included.
        bytes: usize,
    },
    /// Too short for the addresses that it announces.
    #[error("the PROXY protocol header is too short for its addresses")]
    TooShort,
}

/// Reads a header from the first bytes of a connection.
///
/// # Errors
/// As soon as the bytes cannot become a header, however few they are.
pub fn parse(bytes: &[u8]) -> Result<Progress, ProxyProtocolError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return parse_start(bytes);
    };
    if !fixed.starts_with(&SIGNATURE) {
        return Err(foreign(bytes));
    }
    let [.., version_command, family, length_high, length_low] = *fixed;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let len = FIXED_BYTES + length;
    if version_command >> 4 != 2 {
        return Err(ProxyProtocolError::Version(version_command >> 4));
    }
    if len > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyProtocolError::TooLong { bytes: len });
    }
    let command = version_command & 0x0f;
    if command > 1 {
        return Err(ProxyProtocolError::Command(command));
    }
    let Some(payload) = rest.get(..length) else {
        return Ok(Progress::NeedsMore { bytes_min: len });
    };
    // The addresses of a LOCAL header mean nothing and must be skipped, whatever family it names.
    let origin = if command == 0 { Origin::Local } else { addresses(family, payload)? };
    Ok(Progress::Complete(ProxyHeader { origin, len }))
}

/// Fewer bytes than the fixed part.
fn parse_start(bytes: &[u8]) -> Result<Progress, ProxyProtocolError> {
    let seen = bytes.len().min(SIGNATURE.len());
    if SIGNATURE.get(..seen) == bytes.get(..seen) {
        return Ok(Progress::NeedsMore { bytes_min: FIXED_BYTES });
    }
    // Wait for the whole word, so that the reason in the log is the same however slowly it comes.
    if V1.starts_with(bytes) && bytes.len() < V1.len() {
        return Ok(Progress::NeedsMore { bytes_min: V1.len() });
    }
    Err(foreign(bytes))
}

fn foreign(bytes: &[u8]) -> ProxyProtocolError {
    if bytes.starts_with(V1) { ProxyProtocolError::Version1 } else { ProxyProtocolError::NoSignature }
}

fn addresses(family: u8, payload: &[u8]) -> Result<Origin, ProxyProtocolError> {
    let (source, destination) = match family {
        0x11 => {
            let fields: &[u8; 12] = payload.first_chunk().ok_or(ProxyProtocolError::TooShort)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *fields;
            let ips = (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into());
            with_ports(ips, ports)
        }
        0x21 => {
            let short = ProxyProtocolError::TooShort;
            let (source, rest) = payload.split_first_chunk::<16>().ok_or(short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let ports = rest.first_chunk::<4>().ok_or(short)?;
            let canonical = |octets: [u8; 16]| IpAddr::from(Ipv6Addr::from(octets)).to_canonical();
            with_ports((canonical(*source), canonical(*destination)), *ports)
        }
        // UNSPEC (0x00), UNIX sockets (0x31, 0x32) and datagrams (0x12, 0x22) among them: the proxy
        // forwards a client and does not say which.
        other => return Err(ProxyProtocolError::Family(other)),
    };
    Ok(Origin::Proxied { source, destination })
}

fn with_ports((source, destination): (IpAddr, IpAddr), ports: [u8; 4]) -> (SocketAddr, SocketAddr) {
    let [a, b, c, d] = ports;
    (
        SocketAddr::new(source, u16::from_be_bytes([a, b])),
        SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    )
}

#[cfg(test)]
mod tests;
