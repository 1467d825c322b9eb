//! Deadlines and disconnects: work without a recipient stops, and every admitted image has its row.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use system_tests::log::number;
use system_tests::server::{Options, Server, problem};
use system_tests::{eventually, images, postgres, tokens};

async fn post(server: &Server, timeout: &str, image: Vec<u8>) -> reqwest::Response {
    let request = server.prediction("");
    let request = request.bearer_auth(tokens::token("predict")).header("x-request-timeout-ms", timeout);
    request.body(image).send().await.expect("an answer")
}

async fn wait_for_rows(url: &str, n: u64) {
    let written = async || number(url, "select count(*) from predictions") == n;
    eventually(20, &format!("there are not {n} rows"), written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_images_get_504_and_a_row_and_the_others_are_not_delayed() {
    let _host = crate::HOST.read().await;
    let url = postgres::shared().database();
    let server =
        Options::on(&url).set("model.sessions", &1).set("limits.decode_threads", &1).start_ready().await;
    let image = images::png(1, true);
    // Far more images than can run before their deadline.
    let requests = (0..48).map(|_| post(&server, "60", image.clone()));
    let answers = futures_util::future::join_all(requests).await;
    let (mut late, mut in_time) = (0, 0);
    for answer in answers {
        match answer.status().as_u16() {
            200 => in_time += 1,
            504 => {
                assert_eq!(answer.headers()["retry-after"], "1");
                let body = problem(answer, 504, "deadline_exceeded").await;
                assert!(body["id"].is_string(), "{body}");
                late += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(late > 0, "{in_time} answered in time");
    let count = |outcome: &str| {
        let sql = format!("select count(*) from predictions where outcome = '{outcome}'");
        postgres::psql(&url, &sql).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!((count("predicted"), count("expired")), (in_time, late));
    let reasons = "select distinct reason || ' ' || (model_name is not null) from predictions where outcome = 'expired'";
    assert_eq!(postgres::psql(&url, reasons).unwrap(), "deadline_exceeded true");
    assert_eq!(server.metric("cxr_dropped_total{cause=\"expired\"}").await, Some(f64::from(late)));
    assert_eq!(post(&server, "60000", image).await.status(), 200);
}

#[tokio::test]
async fn the_timeout_header_is_a_whole_number_of_milliseconds() {
    let _host = crate::HOST.read().await;
    let server = Server::ready().await;
    for wrong in ["0", "-5", "1.5", "soon", ""] {
        let answer = post(&server, wrong, images::jpeg(1, false)).await;
        problem(answer, 400, "malformed_request").await;
    }
    assert_eq!(
        post(&server, "999999999", images::jpeg(1, false)).await.status(),
        200,
        "a longer timeout is reduced to the maximum"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_frees_its_slot_and_leaves_its_row() {
    let _host = crate::HOST.read().await;
    let url = postgres::shared().database();
    let options = Options::on(&url).set("model.sessions", &1).set("limits.decode_threads", &1);
    let server = options.set("limits.max_in_flight", &64).start_ready().await;
    let image = images::png(2, true);
    let head = format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        tokens::token("predict"),
        image.len()
    );
    let streams: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&image).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    while server.metric("cxr_in_flight").await.unwrap_or(0.0) < 30.0 {
        assert!(start.elapsed() < Duration::from_secs(5), "the images are not admitted");
    }
    drop(streams);
    wait_for_rows(&url, 60).await;
    assert_eq!(server.metric("cxr_in_flight").await, Some(0.0));
    let abandoned = server.metric("cxr_dropped_total{cause=\"abandoned\"}").await.unwrap();
    let rows = "select count(*) from predictions where outcome = 'expired' and reason = 'client_gone'";
    assert_eq!(postgres::psql(&url, rows).unwrap(), format!("{abandoned}"));
    assert!(abandoned > 0.0, "every image was predicted although its client had disconnected");
    assert_eq!(server.post("", image).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn decoding_stops_at_the_deadline_and_when_the_client_disconnects() {
    let _host = crate::HOST.read().await;
    let url = postgres::shared().database();
    let server = Options::on(&url).set("limits.decode_threads", &1).start_ready().await;
    let slow = tokio::task::spawn_blocking(images::slow).await.unwrap();
    // It occupies the only decoding thread, and the next client would have to wait for it.
    let body = problem(post(&server, "300", slow.clone()).await, 504, "deadline_exceeded").await;
    let after = Instant::now();
    assert_eq!(post(&server, "60000", images::small(1)).await.status(), 200);
    assert!(after.elapsed() < Duration::from_secs(1), "the next image waited {:?}", after.elapsed());
    let row = format!(
        "select outcome || ' ' || reason || ' ' || (timings->>'decode')::float8::int from predictions where id = '{}'",
        body["id"].as_str().unwrap()
    );
    let row = postgres::psql(&url, &row).unwrap();
    let decoded_ms: u32 = row.strip_prefix("expired deadline_exceeded ").expect(&row).parse().unwrap();
    assert!(decoded_ms < 1000, "{row}");

    let head = format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        tokens::token("predict"),
        slow.len()
    );
    let address = server.address().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&slow).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    })
    .await
    .unwrap();
    let gone = Instant::now();
    wait_for_rows(&url, 3).await;
    assert!(gone.elapsed() < Duration::from_secs(1), "its row came after {:?}", gone.elapsed());
    let reason = "select outcome || ' ' || reason from predictions order by received_at desc limit 1";
    assert_eq!(postgres::psql(&url, reason).unwrap(), "expired client_gone");
}
