//! Bad input over HTTP: every refusal and rejection has its status and code; what was admitted also has an
//! audit row.

use reqwest::multipart::{Form, Part};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use system_tests::log::number;
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

fn head(server: &Server, length: &str, extra: &str) -> String {
    format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: image/jpeg\r\n{length}\r\n{extra}\r\n",
        server.address(),
        tokens::token("predict")
    )
}

/// Reads the head of one answer from a raw connection.
fn answer(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut buffer).expect("an answer, not a reset");
        assert!(n > 0, "closed without an answer");
        text.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn rejected_images_are_422_with_a_reason_and_a_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("limits.max_pixels", &1_000_000).start_ready().await;
    let jpeg = images::jpeg(1, false);
    let large = cxr::phantom::PhantomSpec { seed: 1, width: 1400, height: 1000, opacity: false };
    let large = cxr::phantom::encode_png(&cxr::phantom::generate(&large), 1400, 1000);
    let cases = [
        ("too_many_pixels", large),
        ("truncated", jpeg[..jpeg.len() / 2].to_vec()),
        ("blank", images::blank()),
        ("too_small", images::too_small()),
        ("unsupported_pixel_format", images::cmyk_jpeg(1)),
        ("unrecognised_format", b"%PDF-1.7 not an image in spite of its name".to_vec()),
        ("unrecognised_format", vec![]),
        ("corrupt", [&jpeg[..2], &[0xFF, 0xC0, 0, 3, 1, 0xFF, 0xD9]].concat()),
    ];
    for (n, (reason, image)) in cases.iter().enumerate() {
        let request = server.prediction("").header("content-type", "image/jpeg");
        let response =
            request.bearer_auth(tokens::token("predict")).body(image.clone()).send().await.unwrap();
        let body = problem(response, 422, "rejected").await;
        assert_eq!(body["reason"], *reason);
        let row = format!(
            "select outcome, reason, probability is null from predictions where id = '{}'",
            body["id"].as_str().unwrap()
        );
        assert_eq!(postgres::psql(&url, &row).unwrap(), format!("rejected|{reason}|t"));
        assert_eq!(postgres::psql(&url, "select count(*) from predictions").unwrap(), (n + 1).to_string());
    }
    let body = problem(server.post("?age=old", images::jpeg(1, false)).await, 422, "rejected").await;
    assert_eq!(body["reason"], "invalid_metadata");
    assert_eq!(server.metric("cxr_rejections_total{reason=\"blank\"}").await, Some(1.0));
}

#[tokio::test]
async fn unsupported_file_types_are_named_with_advice() {
    let server = Server::ready().await;
    let mut dicom = vec![0; 128];
    dicom.extend(b"DICM\x02\0\0\0UL\x04\0\xC8\0\0\0");
    let frame = |marker: u8, bits: u8| {
        let mut jpeg = images::jpeg(1, false);
        let at = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        (jpeg[at + 1], jpeg[at + 4]) = (marker, bits);
        jpeg
    };
    let cases = [
        ("unrecognised_format", "DICOM", "export the image from the PACS", dicom),
        ("unsupported_pixel_format", "12 bits per sample", "baseline JPEG, PNG or TIFF", frame(0xC1, 12)),
        ("unsupported_pixel_format", "a lossless JPEG", "baseline JPEG, PNG or TIFF", frame(0xC3, 8)),
        ("unsupported_pixel_format", "arithmetic coding", "baseline JPEG, PNG or TIFF", frame(0xC9, 8)),
        ("unsupported_pixel_format", "a JPEG-LS file", "baseline JPEG, PNG or TIFF", frame(0xF7, 8)),
    ];
    for (reason, what, advice, image) in cases {
        let body = problem(server.post("", image).await, 422, "rejected").await;
        assert_eq!(body["reason"], reason, "{body}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(what) && detail.contains(advice), "{detail}");
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_rejected_from_its_header() {
    let server = Server::ready().await;
    assert!(server.post("", images::jpeg(1, false)).await.status().is_success());
    let before = server.peak_memory_bytes();
    let body = problem(server.post("", images::bomb()).await, 422, "rejected").await;
    assert_eq!(body["reason"], "too_many_pixels");
    let more = server.peak_memory_bytes() - before;
    println!("peak memory {} MB, {} MB of it for the bomb", server.peak_memory_bytes() >> 20, more >> 20);
    assert!(more < 100 << 20, "{more} bytes");
}

#[tokio::test]
async fn other_media_types_are_415_and_leave_no_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    for media in ["text/plain", "application/pdf", "application/json", "image/gif", "nonsense"] {
        let request = server.prediction("").header("content-type", media);
        let response =
            request.bearer_auth(tokens::token("predict")).body(images::jpeg(1, false)).send().await.unwrap();
        problem(response, 415, "unsupported_media_type").await;
    }
    let part = Part::bytes(images::jpeg(1, false)).mime_str("text/html").unwrap();
    problem(post_form(&server, Form::new().part("file", part)).await, 415, "unsupported_media_type").await;
    assert_eq!(postgres::psql(&url, "select count(*) from predictions").unwrap(), "0");
}

async fn post_form(server: &Server, form: Form) -> reqwest::Response {
    let request = server.prediction("");
    request.bearer_auth(tokens::token("predict")).multipart(form).send().await.unwrap()
}

#[tokio::test]
async fn malformed_multipart_is_400() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    problem(post_form(&server, Form::new().text("age", "4")).await, 400, "malformed_request").await;
    let file = || Part::bytes(images::jpeg(1, false));
    problem(
        post_form(&server, Form::new().part("file", file()).part("file", file())).await,
        400,
        "malformed_request",
    )
    .await;
    let raw = |media: &'static str, body: &'static [u8]| {
        let request = server.prediction("").header("content-type", media);
        request.bearer_auth(tokens::token("predict")).body(body).send()
    };
    let whole = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--b--\r\n".as_slice();
    for (media, body) in [
        ("multipart/form-data", whole),
        ("multipart/form-data; boundary=other", whole),
        ("multipart/form-data; boundary=b", &whole[..whole.len() - 12]),
        ("multipart/form-data; boundary=b", b"".as_slice()),
        ("multipart/form-data; boundary=b", b"--b\r\nno header at all".as_slice()),
    ] {
        problem(raw(media, body).await.unwrap(), 400, "malformed_request").await;
    }
    assert_eq!(postgres::psql(&url, "select count(*) from predictions").unwrap(), "0");
    // The complete form holds an image of an unknown format.
    problem(raw("multipart/form-data; boundary=b", whole).await.unwrap(), 422, "rejected").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_413_at_once_and_its_client_can_read_the_answer() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("limits.max_bytes", &100_000).start_ready().await;
    let address = server.address().to_owned();
    let declared = head(&server, "Content-Length: 60000000", "");
    let chunked = head(&server, "Transfer-Encoding: chunked", "");
    let (declared, chunked) = tokio::task::spawn_blocking(move || {
        // The declared length is too large: the answer comes before the body.
        let start = Instant::now();
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(declared.as_bytes()).unwrap();
        let early = answer(&mut stream);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        // A client that reads only after it has sent everything also gets the answer: the connection is not
        // reset.
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(declared.as_bytes()).unwrap();
        let block = vec![0x55; 1_000_000];
        for _ in 0..60 {
            stream.write_all(&block).expect("the server keeps reading");
        }
        assert_eq!(early.lines().next(), answer(&mut stream).lines().next());
        // Without a declared length, bytes are counted as they arrive.
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(chunked.as_bytes()).unwrap();
        let chunk = [b"3E8\r\n".as_slice(), &[0x55; 1000], b"\r\n"].concat();
        for _ in 0..5000 {
            stream.write_all(&chunk).expect("the server keeps reading");
        }
        stream.write_all(b"0\r\n\r\n").expect("the server keeps reading");
        (early, answer(&mut stream))
    })
    .await
    .unwrap();
    for text in [declared, chunked] {
        assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    }
    assert_eq!(postgres::psql(&url, "select count(*) from predictions").unwrap(), "0");
    assert!(server.post("", images::jpeg(1, false)).await.status().is_success());
}

#[tokio::test]
async fn an_unauthenticated_client_that_sends_a_large_body_can_read_its_401() {
    let server = Server::ready().await;
    let request = format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: {0}\r\nContent-Type: image/png\r\nContent-Length: 20000000\r\n\r\n",
        server.address()
    );
    let address = server.address().to_owned();
    let text = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        for _ in 0..20 {
            stream.write_all(&vec![1; 1_000_000]).expect("the server keeps reading");
        }
        answer(&mut stream)
    });
    assert!(text.await.unwrap().starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn requests_beyond_the_slots_are_refused_with_retry_after() {
    let server =
        Options::on(&postgres::shared().database()).set("limits.max_in_flight", &1).start_ready().await;
    let mut held = TcpStream::connect(server.address()).unwrap();
    let image = images::jpeg(1, false);
    held.write_all(head(&server, &format!("Content-Length: {}", image.len()), "").as_bytes()).unwrap();
    held.write_all(&image[..100]).unwrap();
    let admitted = async || server.metric("cxr_in_flight").await == Some(1.0);
    server.eventually(20, "the held request is not admitted", admitted).await;
    let refused = server.post("", image.clone()).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 429, "too_many_requests").await;
    held.write_all(&image[100..]).unwrap();
    let text = tokio::task::spawn_blocking(move || answer(&mut held)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn a_client_that_disconnects_still_leaves_a_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let image = images::png(2, true);
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(head(&server, &format!("Content-Length: {}", image.len()), "").as_bytes()).unwrap();
        stream.write_all(&image).unwrap();
        drop(stream);
    }
    let written = async || number(&url, "select count(*) from predictions") == 5;
    server.eventually(10, "rows are missing", written).await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let server = Server::ready().await;
    problem(server.get("/v1/nothing", "predict").await, 404, "not_found").await;
    problem(server.get("/v1/predictions/not-a-uuid", "audit:read").await, 400, "malformed_request").await;
    problem(server.get("/v1/model/reload", "admin").await, 405, "method_not_allowed").await;
    problem(server.post("?explain=perhaps", images::jpeg(1, false)).await, 400, "malformed_request").await;
    let response = server
        .client
        .get(format!("{}/livez", server.base))
        .header("x-request-id", "0b3f4c7e-9a51-4d4e-8f6e-1f2f3c4d5e6f")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "0b3f4c7e-9a51-4d4e-8f6e-1f2f3c4d5e6f");
    let hostile =
        server.client.get(format!("{}/livez", server.base)).header("x-request-id", "a b;\"<script>").send();
    assert!(!hostile.await.unwrap().headers()["x-request-id"].to_str().unwrap().contains('<'));
}
