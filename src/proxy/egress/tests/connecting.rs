//! Receivers that are not there, and those that are not known.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Host;

use super::with;
use crate::config::upstreams::UpstreamTls;
use crate::policy::egress::destination::Checked;
use crate::proxy::egress::connect::{Connected, Unconnected, Untrusted, connect, server_name};

const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate that vouches for itself.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new(names: &[&str], years: std::ops::Range<i32>) -> Self {
        let all: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(all).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key }
    }

    fn server(&self) -> TlsAcceptor {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// One that trusts it, and expects `name`.
    fn client(&self, name: ServerName<'static>) -> UpstreamTls {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        UpstreamTls {
            client: Arc::new(client),
            server_name: name,
        }
    }
}

fn name(text: &str) -> ServerName<'static> {
    server_name(&Host::parse(text).unwrap()).unwrap()
}

fn checked(port: u16) -> Checked {
    let open = with(&format!("allow_networks = [\"127.0.0.1\"]\nallow_ports = [{port}]"));
    open.address("a.example", port, [127, 0, 0, 1].into()).unwrap()
}

/// Connects to a server that shows `identity`, and reads what it says.
async fn greeted(identity: &Identity, tls: &UpstreamTls) -> Result<String, Untrusted> {
    greeted_by(identity.server(), tls).await
}

async fn greeted_by(acceptor: TlsAcceptor, tls: &UpstreamTls) -> Result<String, Untrusted> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        // A client that does not like what it sees ends this.
        if let Ok(mut stream) = acceptor.accept(socket).await {
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let connected = connect(&[checked(port)], Some(tls), PATIENCE).await;
    let result = match connected {
        Ok(Connected { mut stream, .. }) => {
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            Ok(text)
        }
        Err(Unconnected::Untrusted(untrusted)) => Err(untrusted),
        Err(other) => panic!("{other}"),
    };
    server.await.unwrap();
    result
}

#[tokio::test]
async fn receivers_are_known_by_name_or_by_address() {
    let identity = Identity::new(&["hooks.example", "127.0.0.1"], 2000..2100);
    for host in ["hooks.example", "127.0.0.1"] {
        let said = greeted(&identity, &identity.client(name(host))).await;
        assert_eq!(said, Ok("hello".to_owned()), "{host}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_in_words() {
    let namesake = Identity::new(&["hooks.example"], 2000..2100);
    let stranger = Identity::new(&["stranger.example"], 2000..2100);
    let rows = [
        (
            Identity::new(&["hooks.example"], 2000..2001),
            None,
            "its certificate has expired",
        ),
        (
            Identity::new(&["hooks.example"], 2099..2100),
            None,
            "its certificate is not valid yet, or the clock here is slow",
        ),
        (
            Identity::new(&["other.example"], 2000..2100),
            None,
            "its certificate is not for hooks.example, but for ",
        ),
        (
            Identity::new(&["hooks.example"], 2000..2100),
            Some(&namesake),
            "nobody known here vouches for its certificate",
        ),
        (
            Identity::new(&["hooks.example"], 2000..2100),
            Some(&stranger),
            "nobody known here vouches for its certificate",
        ),
    ];
    for (identity, trusted, said) in rows {
        let tls = trusted.unwrap_or(&identity).client(name("hooks.example"));
        let untrusted = greeted(&identity, &tls).await.unwrap_err().to_string();
        assert!(untrusted.starts_with(said), "{untrusted}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Until the client has read it and gone.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let identity = Identity::new(&["hooks.example"], 2000..2100);
    let connected = connect(
        &[checked(port)],
        Some(&identity.client(name("hooks.example"))),
        PATIENCE,
    )
    .await;
    assert!(
        matches!(connected, Err(Unconnected::Untrusted(Untrusted::NotTls))),
        "{connected:?}"
    );
    server.await.unwrap();
}

#[tokio::test]
async fn who_hangs_up_at_once_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let identity = Identity::new(&["hooks.example"], 2000..2100);
    let connected = connect(
        &[checked(port)],
        Some(&identity.client(name("hooks.example"))),
        PATIENCE,
    )
    .await;
    let said = connected.unwrap_err().to_string();
    assert!(said.starts_with("it ended the connection at once ("), "{said}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_asks_who_keygate_is_says_so() {
    let identity = Identity::new(&["hooks.example"], 2000..2100);
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    // With TLS 1.3 the refusal comes after the handshake, with the answer.
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![identity.certificate.clone()],
            PrivatePkcs8KeyDer::from(identity.key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let untrusted = greeted_by(acceptor, &identity.client(name("hooks.example")))
        .await
        .unwrap_err();
    assert!(matches!(untrusted, Untrusted::Declined(_)), "{untrusted}");
}

#[tokio::test]
async fn nobody_there_is_refused_and_silence_runs_out_of_time() {
    let vacant = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = vacant.local_addr().unwrap().port();
    drop(vacant);
    let connected = connect(&[checked(port)], None, PATIENCE).await;
    assert!(matches!(connected, Err(Unconnected::Refused)), "{connected:?}");

    // It accepts, and never says a word of TLS.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let identity = Identity::new(&["hooks.example"], 2000..2100);
    let tls = identity.client(name("hooks.example"));
    let connected = connect(&[checked(port)], Some(&tls), Duration::from_millis(100)).await;
    assert!(matches!(connected, Err(Unconnected::Timeout)), "{connected:?}");
}

#[tokio::test]
async fn connections_do_not_wait_to_send_small_writes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connected = connect(&[checked(port)], None, PATIENCE).await.unwrap();
    let crate::proxy::stream::Stream::Clear(crate::proxy::stream::Socket::Tcp(socket)) = connected.stream else {
        panic!("in the clear, over TCP");
    };
    assert!(socket.nodelay().unwrap());
}
