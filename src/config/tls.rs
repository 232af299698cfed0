//! `[ingress.tls]` and `[upstreams.NAME.tls]`: PEM files → rustls configurations.
//!
//! A room of its own because this is where rustls is set up, for both sides, with its provider named explicitly. No
//! message quotes what a file holds.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::certificate;
use super::files::Files;
use super::ingress::Tls;
use super::reader::{Item, Table};
use super::upstreams::UpstreamTls;

const DAY: i64 = 24 * 60 * 60;
/// How long before its end a certificate is warned about.
const SOON: i64 = 14 * DAY;

/// What clients must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientCertificates {
    Off,
    Optional,
    Required,
}

/// The options of `[ingress.tls]`.
pub(super) struct ServerOptions<'d> {
    certificate: Option<Item<'d>>,
    key: Option<Item<'d>>,
    client_ca: Option<Item<'d>>,
    client_certificates: Option<Item<'d>>,
    min_version: Option<Item<'d>>,
}

/// Takes the options out of the table.
pub(super) fn read_server_options<'d>(table: &Table<'d>) -> ServerOptions<'d> {
    ServerOptions {
        certificate: table.get("certificate"),
        key: table.get("key"),
        client_ca: table.get("client_ca"),
        client_certificates: table.get("client_certificates"),
        min_version: table.get("min_version"),
    }
}

/// Reads `[ingress.tls]` and the files that it names.
pub(super) fn read_server(table: &Table<'_>, files: &Files) -> Option<Tls> {
    let options = read_server_options(table);
    let missing = |key: &str, file: &str| {
        table.place().missing(
            format!("`{key}` is missing"),
            format!("name a PEM file: {key} = \"{file}\""),
        );
    };
    if options.certificate.is_none() {
        missing("certificate", "tls.crt");
    }
    if options.key.is_none() {
        missing("key", "tls.key");
    }
    let mut paths = Vec::new();
    let chain = options
        .certificate
        .as_ref()
        .and_then(|item| read_chain(item, files, &mut paths));
    let key = options.key.as_ref().and_then(|item| read_key(item, files, &mut paths));
    let roots = options
        .client_ca
        .as_ref()
        .map(|item| read_roots(item, files, &mut paths));
    let demand = read_demand(&options);
    let versions = read_versions(&options)?;

    let (chain, key, demand) = (chain?, key?, demand?);
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites for TLS 1.2 and 1.3");
    let builder = match (demand, roots) {
        (ClientCertificates::Off, _) | (ClientCertificates::Optional | ClientCertificates::Required, None) => {
            builder.with_no_client_auth()
        }
        (ClientCertificates::Optional | ClientCertificates::Required, Some(roots)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots?), provider);
            let verifier = match demand {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                ClientCertificates::Off | ClientCertificates::Required => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().expect("there is at least one root"))
        }
    };
    let mut server = match builder.with_single_cert(chain, key) {
        Ok(server) => server,
        Err(error) => {
            if let (Some(certificate), Some(key)) = (&options.certificate, &options.key) {
                report_pair(&error, certificate, key);
            }
            return None;
        }
    };
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    match aws_lc_rs::Ticketer::new() {
        Ok(ticketer) => server.ticketer = ticketer,
        Err(_) => table.place().error(
            "there is no randomness for session tickets",
            "is the system's random source available?",
        ),
    }
    Some(Tls {
        server: Arc::new(server),
        files: paths,
    })
}

/// Reads `[upstreams.NAME.tls]` for an upstream at `host`.
pub(super) fn read_client<'d>(table: &Table<'d>, host: &str, url: &Item<'d>, files: &Files) -> Option<UpstreamTls> {
    let ca = table.get("ca");
    let name_item = table.get("server_name");
    let (name, item) = match &name_item {
        Some(item) => (item.text()?, item),
        None => (host, url),
    };
    let roots = match &ca {
        Some(item) => roots(item, files),
        None => Some(well_known()),
    };
    let Ok(server_name) = ServerName::try_from(name.to_owned()) else {
        item.error(
            "is not a name that a certificate can carry",
            "for example server_name = \"service.example\"",
        );
        return None;
    };
    Some(UpstreamTls {
        client: client(&roots?, None, files)?,
        server_name,
    })
}

/// The roots in a file.
pub(super) fn roots(item: &Item<'_>, files: &Files) -> Option<Arc<RootCertStore>> {
    read_roots(item, files, &mut Vec::new()).map(Arc::new)
}

/// The roots that Mozilla trusts, as they were when Keygate was built.
pub(super) fn well_known() -> Arc<RootCertStore> {
    Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

/// The roots that this machine trusts; reports at `item` where there are none.
pub(super) fn of_system(item: &Item<'_>) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        item.error(
            "finds no root certificates on this machine",
            "install them (ca-certificates, mostly), name a file with `ca`, or write \"webpki\"",
        );
        return None;
    }
    Some(Arc::new(roots))
}

/// For calls of Keygate's own: who vouches for the other end, and the certificate and key that Keygate shows itself with.
/// HTTP/1.1.
pub(super) fn client(
    roots: &Arc<RootCertStore>,
    own: Option<(&Item<'_>, &Item<'_>)>,
    files: &Files,
) -> Option<Arc<ClientConfig>> {
    let (mut paths, roots) = (Vec::new(), Arc::clone(roots));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3");
    let mut client = match own {
        None => builder.with_root_certificates(roots).with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = read_chain(certificate, files, &mut paths);
            let own = read_key(key, files, &mut paths);
            let client = builder
                .with_root_certificates(roots)
                .with_client_auth_cert(chain?, own?);
            match client {
                Ok(client) => client,
                Err(error) => {
                    report_pair(&error, certificate, key);
                    return None;
                }
            }
        }
    };
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(Arc::new(client))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read_demand(options: &ServerOptions<'_>) -> Option<ClientCertificates> {
    let Some(item) = &options.client_certificates else {
        return Some(match options.client_ca {
            Some(_) => ClientCertificates::Required,
            None => ClientCertificates::Off,
        });
    };
    let demand = item.word(&[
        ("off", ClientCertificates::Off),
        ("optional", ClientCertificates::Optional),
        ("required", ClientCertificates::Required),
    ])?;
    match (&options.client_ca, demand) {
        (None, ClientCertificates::Optional | ClientCertificates::Required) => {
            item.error(
                "needs `client_ca`, against which clients' certificates are checked",
                "add client_ca = \"clients.pem\", or write \"off\"",
            );
            None
        }
        (Some(ca), ClientCertificates::Off) => {
            ca.warning(
                "is not used, since client_certificates = \"off\"",
                "remove one of the two",
            );
            Some(demand)
        }
        (Some(_), ClientCertificates::Optional | ClientCertificates::Required) | (None, ClientCertificates::Off) => {
            Some(demand)
        }
    }
}

fn read_versions(options: &ServerOptions<'_>) -> Option<&'static [&'static SupportedProtocolVersion]> {
    const FROM_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
    const FROM_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match &options.min_version {
        Some(item) => item.word(&[("1.2", FROM_1_2), ("1.3", FROM_1_3)]),
        None => Some(FROM_1_2),
    }
}

fn read_chain(item: &Item<'_>, files: &Files, paths: &mut Vec<PathBuf>) -> Option<Vec<CertificateDer<'static>>> {
    let chain = read_certificates(item, files, paths)?;
    check_dates(&chain, item)?;
    Some(chain)
}

/// Warns about a certificate at or near its end: refusing it would turn an annoyance into an outage. `None` where one
/// is not a certificate at all.
fn check_dates(chain: &[CertificateDer<'_>], item: &Item<'_>) -> Option<()> {
    let now = crate::clock::unix();
    for certificate in chain {
        let Some((begin, end)) = certificate::validity(certificate) else {
            item.error("holds something that is not an X.509 certificate", "make the file anew");
            return None;
        };
        if end <= now {
            item.warning(format!("holds a certificate that expired on {}", date(end)), "renew it");
        } else if end - now < SOON {
            item.warning(format!("holds a certificate that expires on {}", date(end)), "renew it");
        } else if begin > now {
            item.warning(
                format!("holds a certificate that is valid only from {}", date(begin)),
                "is the system's clock right?",
            );
        }
    }
    Some(())
}

fn date(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}

fn read_roots(item: &Item<'_>, files: &Files, paths: &mut Vec<PathBuf>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(item, files, paths)? {
        if roots.add(certificate).is_err() {
            item.error("holds a certificate that cannot be a root", "is it the right file?");
            return None;
        }
    }
    Some(roots)
}

fn read_certificates(item: &Item<'_>, files: &Files, paths: &mut Vec<PathBuf>) -> Option<Vec<CertificateDer<'static>>> {
    let (path, bytes) = files.read(item)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let shown = path.display().to_string();
    paths.push(path);
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            item.error(
                format!("{shown} holds no certificate"),
                "PEM, with lines such as -----BEGIN CERTIFICATE-----",
            );
            None
        }
        Ok(certificates) => Some(certificates),
        Err(_) => {
            item.error(
                format!("{shown} is not valid PEM"),
                "is it cut short? Make the file anew",
            );
            None
        }
    }
}

fn read_key(item: &Item<'_>, files: &Files, paths: &mut Vec<PathBuf>) -> Option<PrivateKeyDer<'static>> {
    let (path, bytes) = files.read(item)?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let key = PrivateKeyDer::from_pem_slice(&bytes);
    if key.is_err() {
        item.error(
            format!("{} holds no private key", path.display()),
            "PEM (PKCS #8, PKCS #1 or SEC 1), without a passphrase",
        );
    }
    paths.push(path);
    key.ok()
}

/// Says which of the two files a pair that rustls does not accept is about.
fn report_pair(error: &rustls::Error, certificate: &Item<'_>, key: &Item<'_>) {
    match error {
        rustls::Error::InconsistentKeys(_) => key.error(
            "is not the key of the certificate",
            format!(
                "name the key that belongs to the certificate at {}",
                certificate.place().location()
            ),
        ),
        rustls::Error::InvalidCertificate(_) => {
            certificate.error("holds something that is not an X.509 certificate", "make the file anew");
        }
        _ => key.error(format!("cannot be used: {error}"), "RSA, ECDSA or Ed25519"),
    }
}
