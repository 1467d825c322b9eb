//! Bad connections: slow, idle, with too large a head, or not reading. Each is closed, and other clients are
//! answered meanwhile.

use std::time::{Duration, Instant};
use system_tests::http2::Http2;
use system_tests::postgres;
use system_tests::server::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server with short timeouts.
async fn strict() -> Server {
    let options = Options::on(&postgres::shared().database());
    options.set("http.header_timeout_ms", &1500).set("http.write_timeout_ms", &1000).start_ready().await
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

/// Reads until the other end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let (mut all, mut piece) = (Vec::new(), vec![0; 4096]);
    let read = async {
        // A reset counts as closing.
        while let Ok(n @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the connection is not ended");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one answer from a connection that stays open.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut all, mut piece) = (String::new(), vec![0; 65536]);
    loop {
        let n = stream.read(&mut piece).await.unwrap();
        assert!(n > 0, "closed after {all:?}");
        all += &String::from_utf8_lossy(&piece[..n]);
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return all;
        }
    }
}

fn ended(cause: &str) -> String {
    format!("cxr_connections_ended_total{{cause=\"{cause}\"}}")
}

/// Waits until `n` connections have ended for this cause.
async fn wait_ended(server: &Server, cause: &str, n: f64) {
    let message = format!("not {n} connections ended for {cause}");
    server.eventually(15, &message, async || server.metric(&ended(cause)).await == Some(n)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_sent_byte_by_byte_times_out() {
    let server = strict().await;
    let before = server.metric(&ended("silent")).await.unwrap();
    let mut stream = connect(&server).await;
    let begun = Instant::now();
    for byte in "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ".bytes().cycle() {
        // The first write after the close still succeeds, a later one fails.
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(6), "the connection is not closed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(1400), "{:?}", begun.elapsed());
    assert!(server.metric(&ended("silent")).await.unwrap() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let server = strict().await;
    let mut used = connect(&server).await;
    assert!(ask(&mut used, "/livez").await.starts_with("HTTP/1.1 200"));
    let mut unused = connect(&server).await;
    for stream in [&mut used, &mut unused] {
        let begun = Instant::now();
        assert_eq!(rest(stream).await, "");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    // A connection in use stays open.
    let mut busy = connect(&server).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(ask(&mut busy, "/livez").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_gets_an_answer_that_says_so() {
    let server = Server::ready().await;
    let field = "X-Field: 1\r\n".repeat(65);
    let value = "v".repeat(200_000);
    let path = "p".repeat(70_000);
    for (head, status) in [
        (format!("GET /livez HTTP/1.1\r\nHost: x\r\n{field}\r\n"), "431"),
        (format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Field: {value}\r\n\r\n"), "431"),
        (format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n"), "414"),
        ("what is this\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = connect(&server).await;
        // The server may stop reading at the limit.
        drop(stream.write_all(head.as_bytes()).await);
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:?}");
    }
    wait_ended(&server, "head_too_large", 3.0).await;
    wait_ended(&server, "malformed", 1.0).await;
    // A head within the limit.
    let field = "X-Field: 1\r\n".repeat(50);
    let mut stream = connect(&server).await;
    let head = format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{field}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let server = strict().await;
    let mut stream = connect(&server).await;
    // Far more than the socket buffers hold.
    let requests = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(60);
    stream.write_all(requests.as_bytes()).await.unwrap();
    wait_ended(&server, "not_reading", 1.0).await;
    let read = rest(&mut stream).await.len();
    println!("{read} bytes were on their way");
    // A client that reads slowly gets everything.
    let mut stream = connect(&server).await;
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(rest(&mut stream).await.len() > 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_connection_that_only_answers_pings_is_closed() {
    let server = strict().await;
    let mut client = Http2::connect(server.address(), 1 << 20).await.unwrap();
    client.get("/livez").await.unwrap();
    let begun = Instant::now();
    let heard = tokio::time::timeout(Duration::from_secs(15), client.listen()).await.expect("it is kept");
    println!("{heard:?} in {:?}", begun.elapsed());
    assert!(heard.heads == 1 && heard.bytes > 0 && heard.goaways > 0, "{heard:?}");
    assert!(begun.elapsed() > Duration::from_millis(1400), "{:?}", begun.elapsed());
    // The same for one that never sends a request.
    let client = Http2::connect(server.address(), 1 << 20).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(15), client.listen()).await.expect("it is kept");
    assert_eq!(heard.heads, 0, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_connection_that_grants_no_window_is_closed() {
    let server = strict().await;
    let mut client = Http2::connect(server.address(), 0).await.unwrap();
    client.get("/docs/swagger-ui-bundle.js").await.unwrap();
    client.get("/openapi.json").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(15), client.listen()).await.expect("it is kept");
    assert!(heard.heads == 2 && heard.bytes == 0, "{heard:?}");
    wait_ended(&server, "not_reading", 1.0).await;
}
