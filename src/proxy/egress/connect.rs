//! A connection to a receiver: to addresses that were checked, and to nothing else.
//!
//! # Security
//! What is connected to is a [`Checked`] address, and only a check builds one. TLS is verified against the name in the URL, or the one that
//! the webhook's `tls` says, whichever address answers.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::config::upstreams::UpstreamTls;
use crate::policy::egress::destination::Checked;
use crate::proxy::stream::{Socket, Stream};

/// How many of a name's addresses are tried. More would leave each too little time.
const MOST_TRIED: usize = 6;

/// A connection, and where it leads.
#[derive(Debug)]
pub struct Connected {
    /// The address that answered.
    pub address: Checked,
    /// The connection.
    pub stream: Stream,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Unconnected {
    /// Nothing listens there.
    Refused,
    /// Not in time.
    Timeout,
    /// No way leads there, or the connection broke.
    Unreachable(io::Error),
    /// What listens there is not known to be the receiver.
    Untrusted(Untrusted),
}

/// What is wrong with the other end's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untrusted {
    /// It does not speak TLS.
    NotTls,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet.
    NotValidYet,
    /// Nobody known here vouches for its certificate.
    UnknownIssuer,
    /// Its certificate is for other names.
    WrongName {
        /// The name that it should carry.
        expected: String,
        /// Those that it carries.
        presented: Vec<String>,
    },
    /// The host's name cannot stand in a certificate.
    NoName,
    /// Something else is wrong with its certificate.
    Certificate(String),
    /// It ended the handshake: it may ask for a certificate of ours.
    Declined(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("nothing listens there (connection refused)"),
            Self::Timeout => f.write_str("it did not answer in time"),
            Self::Unreachable(error) => match error.kind() {
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                    write!(f, "no way leads there from here ({error})")
                }
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                    write!(f, "it ended the connection at once ({error})")
                }
                _ => write!(f, "{error}"),
            },
            Self::Untrusted(untrusted) => write!(f, "{untrusted}"),
        }
    }
}

impl std::error::Error for Unconnected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error),
            Self::Refused | Self::Timeout | Self::Untrusted(_) => None,
        }
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("it does not speak TLS; is the URL meant to be http://, or the port another one?"),
            Self::Expired => f.write_str("its certificate has expired"),
            Self::NotValidYet => f.write_str("its certificate is not valid yet, or the clock here is slow"),
            Self::UnknownIssuer => f.write_str(
                "nobody known here vouches for its certificate: it may lack its intermediate certificates, or come from an authority \
                 of its own, to be named in `tls = { ca = \"…\" }`",
            ),
            Self::WrongName { expected, presented } if presented.is_empty() => {
                write!(f, "its certificate is not for {expected}")
            }
            Self::WrongName { expected, presented } => {
                write!(f, "its certificate is not for {expected}, but for {}", presented.join(", "))
            }
            Self::NoName => f.write_str("the host's name cannot stand in a certificate"),
            Self::Certificate(what) => write!(f, "its certificate is not in order: {what}"),
            Self::Declined(alert) => write!(
                f,
                "it ended the TLS handshake ({alert}); it may ask for a client certificate: `tls = {{ certificate = \"…\", key = \"…\" }}`"
            ),
            Self::Other(what) => write!(f, "TLS failed: {what}"),
        }
    }
}

impl std::error::Error for Untrusted {}

/// The name that the certificate of `host` must carry: the host itself, also where it is an address.
///
/// # Errors
/// [`Untrusted::NoName`]
pub fn server_name(host: &Host<String>) -> Result<ServerName<'static>, Untrusted> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Untrusted::NoName),
        Host::Ipv4(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress((*address).into())),
    }
}

/// What a receiver says about Keygate's certificate, where that is why a new connection broke: with TLS 1.3 it comes when the
/// handshake seems to be over, and the request is on its way (RFC 8446 §4.4.2.4, §6.2). It has not been looked at.
#[must_use]
pub fn declined(error: &(dyn std::error::Error + 'static)) -> Option<Untrusted> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let tls = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let tls = tls.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls @ rustls::Error::AlertReceived(alert)) = tls
            && is_about_certificate(*alert)
        {
            return Some(untrusted(tls));
        }
        cause = error.source();
    }
    None
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    [
        AlertDescription::AccessDenied,
        AlertDescription::BadCertificate,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateRequired,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateUnknown,
        AlertDescription::DecryptError,
        AlertDescription::HandshakeFailure,
        AlertDescription::UnknownCA,
        AlertDescription::UnsupportedCertificate,
    ]
    .contains(&alert)
}

/// Connects to the first of `addresses` that answers, within `patience`. Each gets its share of the time, handshake included, so that a
/// dead first address does not use up what a living second one needs.
///
/// # Errors
/// Why the last one did not; or the first whose certificate is not in order, where trying on would only hide that.
pub async fn connect(
    addresses: &[Checked],
    tls: Option<&UpstreamTls>,
    patience: Duration,
) -> Result<Connected, Unconnected> {
    let addresses = &addresses[..addresses.len().min(MOST_TRIED)];
    let share = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failed = None;
    for &address in addresses {
        let reached = timeout(share, reach(address, tls)).await;
        let why = match reached.unwrap_or(Err(Unconnected::Timeout)) {
            Ok(stream) => return Ok(Connected { address, stream }),
            Err(untrusted @ Unconnected::Untrusted(_)) => return Err(untrusted),
            Err(why) => why,
        };
        // That there is no IPv6 here says less than what the receiver's IPv4 address said.
        match (&failed, &why) {
            (Some(_), Unconnected::Unreachable(_)) => {}
            (_, Unconnected::Refused | Unconnected::Timeout | Unconnected::Untrusted(_))
            | (None, Unconnected::Unreachable(_)) => failed = Some(why),
        }
    }
    Err(failed.unwrap_or_else(|| Unconnected::Unreachable(io::ErrorKind::AddrNotAvailable.into())))
}

async fn reach(address: Checked, tls: Option<&UpstreamTls>) -> Result<Stream, Unconnected> {
    let socket = TcpStream::connect(address.socket()).await.map_err(unconnected)?;
    socket.set_nodelay(true).map_err(unconnected)?;
    let socket = Socket::Tcp(socket);
    let Some(tls) = tls else {
        return Ok(Stream::Clear(socket));
    };
    let connector = TlsConnector::from(Arc::clone(&tls.client));
    let stream = connector.connect(tls.server_name.clone(), socket).await;
    let stream = stream.map_err(unconnected)?;
    Ok(Stream::Tls(Box::new(stream.into())))
}

fn unconnected(error: io::Error) -> Unconnected {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Unconnected::Untrusted(untrusted(tls));
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unconnected::Refused,
        io::ErrorKind::TimedOut => Unconnected::Timeout,
        _ => Unconnected::Unreachable(error),
    }
}

/// The enums are another crate's, and may grow.
fn untrusted(error: &rustls::Error) -> Untrusted {
    match error {
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => Untrusted::NotTls,
        rustls::Error::AlertReceived(alert) => Untrusted::Declined(format!("{alert:?}")),
        rustls::Error::InvalidCertificate(what) => match what {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Untrusted::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Untrusted::NotValidYet,
            // Where the issuer only has the name of one that is known, its signature does not fit.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Untrusted::UnknownIssuer,
            CertificateError::NotValidForNameContext { expected, presented } => Untrusted::WrongName {
                expected: expected.to_str().into_owned(),
                presented: presented.clone(),
            },
            other => Untrusted::Certificate(other.to_string()),
        },
        other => Untrusted::Other(other.to_string()),
    }
}
