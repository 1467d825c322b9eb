//! Forms that would be expensive to search: an endless part header, text before the first part, many small
//! pieces.

use std::time::{Duration, Instant};
use system_tests::server::Server;
use system_tests::{images, tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BOUNDARY: &str = "b";

fn head(server: &Server, length: usize) -> String {
    format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n",
        server.address(),
        tokens::token("predict")
    )
}

/// Sends the beginning of a form, then filling in small pieces until the service answers or closes.
async fn endless(server: &Server, begin: &'static str) -> String {
    const PIECES: usize = 20_000;
    let piece = [b'x'; 1000];
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = head(server, begin.len() + PIECES * piece.len());
    let sender = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await?;
        write.write_all(begin.as_bytes()).await?;
        for _ in 0..PIECES {
            write.write_all(&piece).await?;
        }
        // The connection stays open until the answer has been read.
        std::future::pending::<std::io::Result<()>>().await
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), read.read_to_end(&mut answer)).await;
    drop(read.expect("no answer"));
    sender.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_part_header_is_refused_early_and_delays_no_other_client() {
    let server = Server::ready().await;
    let begins = ["--b\r\nContent-Disposition: form-data; name=\"file\"\r\nX-Long: ", "no boundary comes "];
    let attack = async {
        let attackers = (0..16).map(|n| endless(&server, begins[n % 2]));
        futures_util::future::join_all(attackers).await
    };
    let (mut slowest, begun) = (Duration::ZERO, Instant::now());
    let mut attack = std::pin::pin!(attack);
    let answers = loop {
        tokio::select! {
            answers = &mut attack => break answers,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                let sent = Instant::now();
                assert_eq!(server.client.get(format!("{}/livez", server.base)).send().await.unwrap().status(), 200);
                slowest = slowest.max(sent.elapsed());
            }
        }
    };
    println!("{} forms in {:?}, the slowest probe took {slowest:?}", answers.len(), begun.elapsed());
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("the form has more than 8192 bytes before its first part"), "{answer}");
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_may_arrive_byte_by_byte_and_have_a_long_part_header() {
    let server = Server::ready().await;
    let image = images::small(1);
    let filling = "x".repeat(6000);
    let begin = format!(
        "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nX-Filling: {filling}\r\n\r\n"
    );
    let form = [
        begin.as_bytes(),
        &image,
        b"\r\n--b\r\nContent-Disposition: form-data; name=\"age\"\r\n\r\n4\r\n--b--\r\n",
    ]
    .concat();
    for piece in [1, 700, form.len()] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(head(&server, form.len()).as_bytes()).await.unwrap();
        for bytes in form.chunks(piece) {
            stream.write_all(bytes).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{piece}: {answer}");
    }
}
