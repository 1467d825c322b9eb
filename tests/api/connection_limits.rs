//! More connections than connection slots, and unread answers to clients without a token: authenticated
//! clients are served and memory stays bounded.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use system_tests::http2::Http2;
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Connects from an address in 127.0.0.0/8, which all belong to this host.
async fn connect_from(server: &Server, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(server.address().parse().unwrap()).await.unwrap()
}

/// Sends a request with a token and keeps the connection; `None` if the server closed it.
async fn ask(stream: &mut TcpStream) -> Option<String> {
    let token = tokens::token("predict");
    let request = format!("GET /v1/model HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = vec![0; 65536];
    match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer))
        .await
        .expect("an answer or an end")
    {
        Ok(n @ 1..) => Some(String::from_utf8_lossy(&answer[..n]).into_owned()),
        _ => None,
    }
}

async fn is_served(stream: &mut TcpStream) -> bool {
    ask(stream).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn ended(cause: &str) -> String {
    format!("cxr_connections_ended_total{{cause=\"{cause}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn six_hundred_idle_connections_do_not_shut_clients_out() {
    let options = Options::on(&postgres::shared().database());
    let server = options.set("http.header_timeout_ms", &60000).start_ready().await;
    let mut before = connect_from(&server, [127, 0, 0, 2]).await;
    assert!(is_served(&mut before).await);
    let mut idle = Vec::new();
    for n in 0..600_u16 {
        // From three addresses, each with half a request head.
        let mut stream = connect_from(&server, [127, 0, 0, 10 + (n % 3) as u8]).await;
        drop(stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-").await);
        idle.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for n in 0..20 {
        let sent = Instant::now();
        let mut client = connect_from(&server, [127, 0, 0, 3]).await;
        assert!(is_served(&mut client).await, "client {n}");
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    }
    assert!(is_served(&mut before).await, "the client that connected first");
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    let evicted = server.metric(&ended("evicted")).await.unwrap();
    assert!(evicted >= 600.0 - 512.0, "{evicted} were evicted");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_is_limited_in_its_connections() {
    let options = Options::on(&postgres::shared().database());
    let options = options.set("http.max_connections", &32).set("http.max_connections_per_address", &4);
    let server = options.start_ready().await;
    // Four unfinished requests: they are admitted, so their connections are never evicted.
    let head = format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\nx",
        tokens::token("predict")
    );
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut stream = connect_from(&server, [127, 0, 0, 20]).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        busy.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let mut fifth = connect_from(&server, [127, 0, 0, 20]).await;
    assert_eq!(ask(&mut fifth).await, None);
    // The server delays the close, because closing at once would invite the next attempt at once.
    assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
    assert_eq!(server.metric(&ended("address_limit")).await, Some(1.0));
    assert!(is_served(&mut connect_from(&server, [127, 0, 0, 21]).await).await);
    drop(busy);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_served(&mut connect_from(&server, [127, 0, 0, 20]).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_token_is_not_evicted_for_new_connections() {
    let options = Options::on(&postgres::shared().database());
    let server = options.set("http.max_connections", &8).start_ready().await;
    let mut client = connect_from(&server, [127, 0, 0, 2]).await;
    assert!(is_served(&mut client).await);
    let mut idle = Vec::new();
    for n in 0..60 {
        idle.push(connect_from(&server, [127, 0, 0, 30]).await);
        if n % 10 == 0 {
            assert!(is_served(&mut client).await, "after {n} idle connections");
        }
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(is_served(&mut client).await);
    let open = server.metric("cxr_connections").await.unwrap();
    assert!(open <= 9.0, "{open} connections are open");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_public_answers_do_not_hold_memory() {
    let options = Options::on(&postgres::shared().database());
    let server = options.set("http.write_timeout_ms", &4000).start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    let before = server.memory_bytes();
    for path in ["/openapi.json", "/metrics", "/docs/swagger-ui-bundle.js"] {
        let mut clients = Vec::new();
        for _ in 0..150 {
            let mut client = Http2::connect(server.address(), 0).await.unwrap();
            for _ in 0..100 {
                // Beyond the stream limit, requests are refused or the connection is closed.
                if client.get(path).await.is_err() {
                    break;
                }
            }
            clients.push(client);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let during = server.memory_bytes();
        assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
        drop(clients);
        let begun = Instant::now();
        while server.memory_bytes() > before + (96 << 20) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{path}: {} MB stay",
                server.memory_bytes() >> 20
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!(
            "{path}: {} MB before, {} MB during, {} MB after",
            before >> 20,
            during >> 20,
            server.memory_bytes() >> 20
        );
        assert!(
            during < before + (160 << 20),
            "{path}: {} MB before, {} MB during",
            before >> 20,
            during >> 20
        );
    }
}
