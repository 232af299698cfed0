use crate::harness::*;
#[test]
fn harness_smoke() {
    let upstream = Upstream::hello();
    let answer = curl(&["-d", "abc", &upstream.url()]);
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.version.as_str()),
        (200, "hello", "1.1")
    );
    assert_eq!(upstream.only_request().body, b"abc");
    let up = Upstream::tcp(websocket_server);
    block_on(async {
        let mut c = WebSocketClient::open(up.address(), "/x", &[]).await.ok().unwrap();
        c.send("hi").await;
        assert_eq!(c.text().await, "hi");
    });
    let up = H2Upstream::start();
    let address = up.url().strip_prefix("h2c://").unwrap().parse().unwrap();
    block_on(async {
        let mut c = H2Client::open(address).await;
        let a = c.get("/x", &[]).await;
        assert_eq!(a.status(), 200);
        assert_eq!(a.trailers.unwrap()["x-end"], "yes");
    });
    let a = Authority::new();
    a.server("x");
}
