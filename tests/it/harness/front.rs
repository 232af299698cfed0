//! TLS in front of an [`Upstream`](super::Upstream): what receivers of webhooks stand behind.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncWriteExt as _, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What it shows, and asks for.
pub struct Face {
    /// Its certificate and key, PEM.
    pub identity: (String, String),
    /// Whose clients it lets in, PEM; everybody where there is none.
    pub clients: Option<String>,
    /// What it speaks; nothing is said about it where it is empty.
    pub protocols: Vec<&'static str>,
    /// TLS 1.3, or 1.2 alone.
    pub is_1_3: bool,
}

/// A handshake that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shake {
    /// The name that it was asked for.
    pub name: Option<String>,
    /// What was agreed on.
    pub protocol: Option<String>,
    /// Whether the client showed a certificate.
    pub has_certificate: bool,
}

/// The front: on a port of its own of 127.0.0.1, for as long as the test lasts.
pub struct Front {
    address: SocketAddr,
    shakes: Arc<Mutex<Vec<Shake>>>,
    // Its runtime ends with it.
    _runtime: tokio::runtime::Runtime,
}

impl Face {
    /// One that everybody may come to.
    pub fn of(identity: (String, String)) -> Self {
        Self {
            identity,
            clients: None,
            protocols: Vec::new(),
            is_1_3: true,
        }
    }

    fn config(&self) -> ServerConfig {
        let versions: &[_] = if self.is_1_3 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS12]
        };
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate(authority)).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.identity.1.as_bytes()).unwrap();
        let mut config = builder
            .with_single_cert(vec![certificate(&self.identity.0)], key)
            .unwrap();
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Front {
    /// Stands before `behind`.
    pub fn before(behind: SocketAddr, face: &Face) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(face.config()));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shakes: Arc<Mutex<Vec<Shake>>> = Arc::default();
        let theirs = Arc::clone(&shakes);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, shakes) = (acceptor.clone(), Arc::clone(&theirs));
                tokio::spawn(async move {
                    let mut outside = match acceptor.accept(socket).into_fallible().await {
                        Ok(outside) => outside,
                        // One of the two does not like the other. A connection that was closed with something unread in it would
                        // be reset, and what was said last be lost.
                        Err((_, mut socket)) => {
                            let _ = socket.shutdown().await;
                            let _ = copy(&mut socket, &mut sink()).await;
                            return;
                        }
                    };
                    let tls = outside.get_ref().1;
                    let shake = Shake {
                        name: tls.server_name().map(str::to_owned),
                        protocol: tls
                            .alpn_protocol()
                            .map(|name| String::from_utf8_lossy(name).into_owned()),
                        has_certificate: tls.peer_certificates().is_some_and(|chain| !chain.is_empty()),
                    };
                    shakes.lock().unwrap().push(shake);
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self {
            address,
            shakes,
            _runtime: runtime,
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every handshake that went well, in order.
    pub fn shakes(&self) -> Vec<Shake> {
        self.shakes.lock().unwrap().clone()
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
