//! gRPC: a call whose key dies ends as UNAUTHENTICATED, whether it has begun to answer or not.

use tonic::Code;
use tonic_health::ServingStatus;

use super::stage::Stage;
use super::{records, revoke, setup, told};
use crate::grpc::{Service, check, client};
use crate::harness::{ALPHA, BETA, Gate, Setup, block_on};

const WATCH: &str = "/grpc.health.v1.Health/Watch";

#[test]
fn a_call_that_streams_its_answers_ends_as_unauthenticated_and_another_keys_goes_on() {
    let service = Service::start();
    let gate = Gate::start(&Setup {
        records: records(""),
        ..Setup::url(&format!("h2c://{}", service.address))
    });
    block_on(async {
        service
            .reporter
            .set_service_status("mail", ServingStatus::Serving)
            .await;
        let mut alpha = client(&gate, Some(ALPHA))
            .await
            .watch(check("mail"))
            .await
            .unwrap()
            .into_inner();
        let mut beta = client(&gate, Some(BETA))
            .await
            .watch(check("mail"))
            .await
            .unwrap()
            .into_inner();
        assert!(alpha.message().await.unwrap().is_some());
        assert!(beta.message().await.unwrap().is_some());
        revoke(&gate);
        let status = alpha.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
        assert!(!status.message().is_empty());
        service
            .reporter
            .set_service_status("mail", ServingStatus::NotServing)
            .await;
        assert!(beta.message().await.unwrap().is_some());
        let refused = client(&gate, Some(ALPHA)).await.check(check("")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(client(&gate, Some(BETA)).await.check(check("")).await.is_ok());
    });
    told(&gate, WATCH, "credential_invalid", "revoked");
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 1.0);
}

#[test]
fn a_call_that_waits_for_its_answer_ends_as_unauthenticated() {
    // A service that takes the call and says nothing.
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    block_on(async {
        let mut client = client(&gate, Some(ALPHA)).await;
        let calling = client.check(check(""));
        let revoked = async {
            while stage.upstream.requests().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            revoke(&gate);
        };
        let (answered, ()) = tokio::join!(calling, revoked);
        let status = answered.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    });
    told(&gate, "/grpc.health.v1.Health/Check", "credential_invalid", "revoked");
}
