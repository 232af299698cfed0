//! An upstream behind TLS.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::rig::{definition, get, get_fails, real_time, text};
use crate::config::upstreams::{Endpoint, UpstreamTls};
use crate::policy::refusal::Failure;
use crate::proxy::sweep::Sweep;
use crate::proxy::upstream::Upstreams;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server's and a client's configuration that fit together.
fn configurations() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["upstream.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

async fn upstreams(listener: &TcpListener, client: Arc<ClientConfig>, name: &'static str) -> Upstreams {
    let mut definition = definition(Endpoint::Tcp {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    });
    definition.tls = Some(UpstreamTls {
        client,
        server_name: ServerName::try_from(name).unwrap(),
    });
    Upstreams::new(&[definition], &Sweep::new())
}

#[test]
fn a_verified_connection_is_used_again_and_says_goodbye() {
    real_time(async {
        let (server, client) = configurations();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let upstreams = upstreams(&listener, client, "upstream.example").await;
        let serving = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(server).accept(socket).await.unwrap();
            for _ in 0..2 {
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    seen.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(OK).await.unwrap();
                stream.flush().await.unwrap();
            }
            // A clean end: an abrupt one would be an error here.
            assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
        };
        let asking = async {
            for _ in 0..2 {
                assert_eq!(text(get(&upstreams, "/").await).await.unwrap(), "ok");
            }
            drop(upstreams);
        };
        join!(serving, asking);
    });
}

#[test]
fn a_certificate_for_another_name_is_no_connection() {
    real_time(async {
        let (server, client) = configurations();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let upstreams = upstreams(&listener, client, "other.example").await;
        let (failure, ()) = join!(get_fails(&upstreams, "/"), async {
            let (socket, _) = listener.accept().await.unwrap();
            assert!(TlsAcceptor::from(server).accept(socket).await.is_err());
        });
        assert_eq!(failure, Failure::UpstreamUnreachable);
    });
}
