//! gRPC, unary and streaming, passes end to end to an h2c upstream; the client and the server are tonic's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response};
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::{ALPHA, Gate, H2Client, Setup, Upstream, block_on, exchange, post, presents};

/// A gRPC health service whose interceptor records the metadata that reached it.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it tells.
    pub reporter: HealthReporter,
    seen: Arc<Mutex<Vec<http::HeaderMap>>>,
}

impl Service {
    /// Serves on a free TCP port until the test process ends.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (reporter, service) = tonic_health::server::health_reporter();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&seen);
        let service = InterceptedService::new(service, move |request: Request<()>| {
            theirs.lock().unwrap().push(request.metadata().clone().into_headers());
            Ok(request)
        });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = futures_util::stream::unfold(listener, |listener| async {
                    Some((listener.accept().await.map(|(stream, _)| stream), listener))
                });
                let reflection = tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    .build_v1()
                    .unwrap();
                Server::builder()
                    .add_service(service)
                    .add_service(reflection)
                    .serve_with_incoming(incoming)
                    .await
                    .unwrap();
            });
        });
        Self {
            address,
            reporter,
            seen,
        }
    }

    fn gate(&self) -> Gate {
        Gate::start(&Setup::url(&format!("h2c://{}", self.address)))
    }
}

/// Presents a key with every call.
#[derive(Clone)]
pub struct Presents(Option<&'static str>);

impl Interceptor for Presents {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = self.0 {
            request
                .metadata_mut()
                .insert("x-api-key", MetadataValue::from_static(key));
        }
        Ok(request)
    }
}

/// A client of its own that presents this key.
pub async fn client(gate: &Gate, key: Option<&'static str>) -> HealthClient<InterceptedService<Channel, Presents>> {
    let channel = Channel::from_shared(format!("http://{}", gate.ingress()))
        .unwrap()
        .connect()
        .await
        .unwrap();
    HealthClient::with_interceptor(channel, Presents(key))
}

/// A question for this service's health.
pub fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[test]
fn a_unary_call_passes_and_carries_the_identity() {
    let service = Service::start();
    let gate = service.gate();
    block_on(async {
        let mut client = client(&gate, Some(ALPHA)).await;
        for _ in 0..3 {
            let answer = client.check(check("")).await.unwrap();
            assert_eq!(
                answer.into_inner().status(),
                health_check_response::ServingStatus::Serving
            );
        }
    });
    let seen = service.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0]["x-auth-key-id"], "key_alpha");
    assert_eq!(seen[0].get("x-api-key"), None);
}

#[test]
fn a_call_that_streams_both_ways_passes_each_message_as_it_comes() {
    let service = Service::start();
    let gate = service.gate();
    block_on(async {
        let channel = Channel::from_shared(format!("http://{}", gate.ingress())).unwrap();
        let channel = channel.connect().await.unwrap();
        let mut client = ServerReflectionClient::with_interceptor(channel, Presents(Some(ALPHA)));
        let (asks, questions) = tokio::sync::mpsc::unbounded_channel();
        let questions = futures_util::stream::unfold(questions, |mut questions| async {
            Some((questions.recv().await?, questions))
        });
        let mut answers = client.server_reflection_info(questions).await.unwrap().into_inner();
        // Each answer is there before the next question is asked: nothing waits for the end of either stream.
        for symbol in ["grpc.health.v1.Health", "grpc.health.v1.Health.Check", "no.such.Symbol"] {
            asks.send(ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
            })
            .unwrap();
            let answer = answers.message().await;
            match symbol {
                "no.such.Symbol" => assert_eq!(answer.unwrap_err().code(), Code::NotFound),
                _ => assert!(answer.unwrap().is_some(), "{symbol}"),
            }
        }
    });
}

#[test]
fn the_services_own_status_comes_through_its_trailers() {
    let service = Service::start();
    let gate = service.gate();
    block_on(async {
        let mut client = client(&gate, Some(ALPHA)).await;
        let status = client.check(check("nobody.knows.it")).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    });
}

#[test]
fn a_stream_of_answers_passes_as_it_comes() {
    let service = Service::start();
    let gate = service.gate();
    block_on(async {
        let mut client = client(&gate, Some(ALPHA)).await;
        service
            .reporter
            .set_service_status("mail", ServingStatus::Serving)
            .await;
        let mut stream = client.watch(check("mail")).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!(first.status(), health_check_response::ServingStatus::Serving);
        for (told, expected) in [
            (
                ServingStatus::NotServing,
                health_check_response::ServingStatus::NotServing,
            ),
            (ServingStatus::Serving, health_check_response::ServingStatus::Serving),
            (
                ServingStatus::NotServing,
                health_check_response::ServingStatus::NotServing,
            ),
        ] {
            service.reporter.set_service_status("mail", told).await;
            assert_eq!(stream.message().await.unwrap().unwrap().status(), expected);
        }
        // A unary call on the same connection, beside the open stream.
        assert!(client.check(check("")).await.is_ok());
    });
}

#[test]
fn a_refused_call_has_the_matching_grpc_status() {
    let service = Service::start();
    let gate = Gate::start(&Setup {
        more: "[[routes]]\npath = \"/grpc.health.v1.Health/Check\"\n\
               [[routes]]\npath = \"/grpc.health.v1.Health/Watch\"\npermission = \"watch\"\n\
               [plans.default]\nlimits = [{ name = \"hour\", requests = 1, per = \"1h\" }]\n"
            .to_owned(),
        ..Setup::url(&format!("h2c://{}", service.address))
    });
    block_on(async {
        for key in [None, Some("kg_nobody")] {
            let status = client(&gate, key).await.check(check("")).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            assert!(!status.message().is_empty());
        }
        let mut client = client(&gate, Some(ALPHA)).await;
        let status = client.watch(check("")).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(client.check(check("")).await.is_ok());
        let status = client.check(check("")).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    });
    assert_eq!(service.seen.lock().unwrap().len(), 1);
}

#[test]
fn a_refused_call_is_answered_by_trailers_only_with_status_200() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request(
            "POST",
            "/grpc.health.v1.Health/Check",
            &[("content-type", "application/grpc"), ("te", "trailers")],
        );
        let answer = client.exchange(request, b"\0\0\0\0\0", None).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("grpc-status").as_deref(), Some("16"));
        assert_eq!(answer.header("content-type").as_deref(), Some("application/grpc"));
        assert!(answer.header("x-request-id").is_some());
        assert_eq!(answer.body, b"");
    });
}

#[test]
fn an_unreachable_service_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gate = Gate::start(&Setup::url(&format!("h2c://{address}")));
    block_on(async {
        let status = client(&gate, Some(ALPHA)).await.check(check("")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    });
    let answer = exchange(gate.ingress(), post("/x", &presents(ALPHA), "not gRPC"));
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
}
