//! Text that could identify a patient, anywhere in a request, appears in no answer, row, log line or metric.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as base64url;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, tokens};

/// Words that occur nowhere else.
const NAME: &str = "Zwetschgenmueller^Philomena";
const MRN: &str = "MRN0048151623";
const UID: &str = "1.2.276.0.7230010.3.1.4.4815162342";
const TRACES: [&str; 5] = ["Zwetschgen", "Philomena", "48151623", "7230010", "MRN"];

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in kind.iter().chain(data) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    [&(data.len() as u32).to_be_bytes()[..], &kind, data, &(!crc).to_be_bytes()].concat()
}

/// An EXIF directory with one entry: ImageDescription, ASCII, stored after the directory.
fn exif() -> Vec<u8> {
    let value = format!("{NAME} {MRN}\0");
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0".to_vec();
    tiff.extend((value.len() as u32).to_le_bytes());
    tiff.extend(26_u32.to_le_bytes());
    tiff.extend(0_u32.to_le_bytes());
    tiff.extend(value.as_bytes());
    tiff
}

/// A zlib stream of one stored block.
fn zlib(data: &[u8]) -> Vec<u8> {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    let length = data.len() as u16;
    let block = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [&block, data, &(b << 16 | a).to_be_bytes()].concat()
}

/// The phantom with text chunks and an EXIF chunk after its header, and more data after its end.
fn png_with_texts() -> Vec<u8> {
    let png = images::png(3, true);
    let (head, rest) = png.split_at(33);
    let text = chunk(*b"tEXt", format!("Patient\0{NAME} {MRN} {UID}").as_bytes());
    let international = chunk(*b"iTXt", format!("Patient\0\0\0\0\0{NAME} {MRN}").as_bytes());
    let packed = zlib(format!("{NAME} {UID}").as_bytes());
    let compressed = chunk(*b"zTXt", &[b"Patient\0\0", packed.as_slice()].concat());
    let both = chunk(*b"iTXt", &[b"Study\0\x01\0\0\0", packed.as_slice()].concat());
    let exif = chunk(*b"eXIf", &exif());
    [head, &text, &international, &compressed, &both, &exif, rest, NAME.as_bytes()].concat()
}

/// The phantom with a comment and segments of EXIF, XMP and IPTC after its first marker, and more data after
/// its end.
fn jpeg_with_texts() -> Vec<u8> {
    let jpeg = images::jpeg(3, true);
    let segment = |marker: u8, data: &[u8]| {
        [&[0xff, marker][..], &((data.len() + 2) as u16).to_be_bytes(), data].concat()
    };
    let comment = segment(0xfe, format!("{NAME} {MRN} {UID}").as_bytes());
    let exif = segment(0xe1, &[b"Exif\0\0", exif().as_slice()].concat());
    let xmp =
        format!("http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><dc:title>{NAME} {UID}</dc:title></x:xmpmeta>");
    let iptc = format!("Photoshop 3.0\0{NAME} {MRN}");
    let more = [segment(0xe1, xmp.as_bytes()), segment(0xed, iptc.as_bytes())].concat();
    [&jpeg[..2], &exif, &more, &comment, &jpeg[2..], MRN.as_bytes()].concat()
}

/// The phantom with a description and an artist in its directory.
fn tiff_with_texts() -> Vec<u8> {
    use tiff::tags::Tag;
    let mut file = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut file).unwrap();
    let mut image =
        encoder.new_image::<tiff::encoder::colortype::Gray8>(images::WIDTH, images::HEIGHT).unwrap();
    for (tag, text) in
        [(Tag::ImageDescription, NAME), (Tag::Artist, MRN), (Tag::Software, UID), (Tag::Unknown(33432), NAME)]
    {
        image.encoder().write_tag(tag, text).unwrap();
    }
    image.write_data(&images::phantom(3, true)).unwrap();
    file.into_inner()
}

/// A form: the image in a part with these header lines, then a part `age`.
fn raw_form(headers: &str, image: &[u8], age: &str) -> Vec<u8> {
    let head = format!("--{MRN}\r\n{headers}\r\n\r\n");
    let tail =
        format!("\r\n--{MRN}\r\nContent-Disposition: form-data; name=\"age\"\r\n\r\n{age}\r\n--{MRN}--\r\n");
    [head.as_bytes(), image, tail.as_bytes()].concat()
}

/// Tokens that name a patient in every place that can hold text; the first two are accepted.
fn tokens_with_texts() -> Vec<String> {
    let claims = |changes: Value| {
        let mut claims = tokens::claims("pacs", "predict audit:read label");
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let header = || Header::new(Algorithm::HS256);
    let plain = claims(json!({ "name": NAME, "jti": MRN, "patient": { "id": [UID] } }));
    let part = |value: &Value| base64url.encode(value.to_string());
    let foreign = json!({ "alg": "ES256", "kid": MRN, "typ": NAME });
    let none = json!({ "alg": NAME, "kid": MRN });
    vec![
        tokens::sign_under(&Header { kid: Some(MRN.into()), cty: Some(NAME.into()), ..header() }, &plain),
        tokens::sign_under(&Header { typ: Some(UID.into()), x5t: Some(NAME.into()), ..header() }, &plain),
        tokens::sign_under(&Header { jku: Some(format!("https://{MRN}/{NAME}")), ..header() }, &plain),
        tokens::sign_under(&Header { crit: Some(vec![NAME.into(), MRN.into()]), ..header() }, &plain),
        tokens::sign_development(&claims(json!({ "iss": NAME }))),
        tokens::sign_development(&claims(json!({ "iss": [NAME, UID] }))),
        tokens::sign_development(&claims(json!({ "aud": MRN }))),
        tokens::sign_development(&claims(json!({ "exp": MRN }))),
        tokens::sign_development(&claims(json!({ "nbf": UID }))),
        tokens::sign_development(&claims(json!({ "exp": 1, "sub": NAME }))),
        tokens::sign_development(&claims(json!({ "sub": { "id": MRN } }))),
        tokens::sign_development(&claims(json!({ "sub": format!("{NAME}\n{MRN}") }))),
        tokens::sign_development(&claims(json!({ "sub": NAME.repeat(20) }))),
        tokens::sign_development(&claims(json!({ "scope": NAME, "scp": [MRN, UID] }))),
        tokens::sign_development(&claims(json!({ "scope": [MRN] }))),
        format!("{}.{}.{}", part(&foreign), part(&plain), base64url.encode(NAME)),
        format!("{}.{}.{}", part(&none), part(&plain), base64url.encode(NAME)),
    ]
}

/// Invalid HTTP, oversized HTTP, and one request over HTTP/2.
fn below_http(server: &Server) -> String {
    let mut answers = String::new();
    for head in [
        format!("{NAME} {MRN}\r\n\r\n"),
        format!("GET /{UID} HTTP/7.{MRN}\r\n\r\n"),
        format!("GET /{MRN} HTTP/1.1\r\nHost: x\r\nX-Name: {}\r\n\r\n", NAME.repeat(10_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {MRN}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        drop(stream.write_all(head.as_bytes()));
        drop(stream.read_to_string(&mut answers));
    }
    let url = format!("{}/{MRN}?name={NAME}", server.base);
    let name = format!("x-patient-name: {NAME}");
    let curl =
        Command::new("curl").args(["-sSi", "--http2-prior-knowledge", "-H", &name, &url]).output().unwrap();
    answers += &String::from_utf8_lossy(&curl.stdout);
    assert!(answers.contains("HTTP/2 404"), "{answers}");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_names_a_patient_appears_nowhere() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("telemetry.log_filter", &"debug").start_ready().await;
    let mut claims = tokens::claims("pacs", "predict audit:read label");
    for (claim, value) in
        [("name", NAME), ("patient", MRN), ("study", UID), ("email", "philomena@zwetschgen.example")]
    {
        claims[claim] = json!(value);
    }
    let token = tokens::sign_development(&claims);
    let post = |path: String| {
        server
            .client
            .post(format!("{}{path}", server.base))
            .bearer_auth(&token)
            .header("x-request-id", MRN)
            .header("x-patient-name", NAME)
            .header("user-agent", format!("{NAME}/1.0"))
            .header("referer", format!("https://pacs.example/{UID}"))
            .header("cookie", format!("patient={MRN}"))
            .header("x-forwarded-for", UID)
            .header("traceparent", MRN)
    };
    let form = |field: &str, file: Vec<u8>| {
        let part = reqwest::multipart::Part::bytes(file).file_name(format!("{NAME}_{MRN}.jpg"));
        reqwest::multipart::Form::new().part(field.to_owned(), part).text("age", "4")
    };
    let named_twice = |image: Vec<u8>| {
        post("/v1/predictions".into()).header("x-subject-id", MRN).header("idempotency-key", UID).body(image)
    };
    let raw = |content_type: String, body: Vec<u8>| {
        post("/v1/predictions".into()).header("content-type", content_type).body(body)
    };
    let named = |form: Vec<u8>| raw(format!("multipart/form-data; boundary={MRN}"), form);
    let disposition = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{NAME}_{MRN}.jpg\"");
    let get = |query: String| {
        server.client.get(format!("{}/v1/predictions?{query}", server.base)).bearer_auth(&token)
    };
    let mut requests = vec![
        post("/v1/predictions".into()).body(tiff_with_texts()),
        // Accepted: a part may have additional headers.
        named(raw_form(
            &format!(
                "{disposition}\r\nContent-Type: image/jpeg; name={MRN}\r\nX-{MRN}: {NAME}\r\nContent-Description: {UID}"
            ),
            &jpeg_with_texts(),
            "4",
        )),
        // Refused for its type, its value, its name, an invalid header line, a missing boundary.
        named(raw_form(&format!("{disposition}\r\nContent-Type: image/{MRN}"), &jpeg_with_texts(), "4")),
        named(raw_form(&disposition, &jpeg_with_texts(), MRN)),
        named(raw_form(&format!("Content-Disposition: form-data; name=\"{NAME}\""), b"x", "4")),
        named(raw_form(&format!("{disposition}\r\n{NAME} {MRN}"), b"x", "4")),
        named(raw_form(&format!("Content-Disposition: {NAME}"), b"x", "4")),
        raw(format!("multipart/form-data; boundary={NAME}"), raw_form(&disposition, b"x", "4")),
        raw(format!("multipart/form-data; name={UID}"), raw_form(&disposition, b"x", "4")),
        // Digits alone are valid hexadecimal and could be a patient's number.
        get("input_digest=0048151623".into()),
        get(format!("input_digest=0048151623&actor={NAME}&format=ndjson")),
        get(format!("outcome={NAME}&decision={MRN}&label={UID}&bundle_digest=48151623")),
        get(format!("from={UID}")),
        get(format!("request_id={MRN}")),
        post("/v1/predictions".into()).body(png_with_texts()),
        post("/v1/predictions?explain=true".into()).body(jpeg_with_texts()),
        post("/v1/predictions".into()).multipart(form("file", jpeg_with_texts())),
        post("/v1/predictions".into())
            .multipart(form("file", jpeg_with_texts()).text("subject", format!("{NAME} {UID}"))),
        // Twice: the second is a replay. Then with other content, which is refused.
        named_twice(jpeg_with_texts()),
        named_twice(jpeg_with_texts()),
        named_twice(png_with_texts()),
        post("/v1/predictions".into()).header("idempotency-key", format!("{NAME} {MRN}")).body(NAME),
        // Refused for reasons whose message could quote the input.
        post("/v1/predictions".into()).multipart(form(NAME, jpeg_with_texts())),
        post(format!("/v1/predictions?patient={MRN}")).body(jpeg_with_texts()),
        post(format!("/v1/predictions?age={MRN}")).body(jpeg_with_texts()),
        post(format!("/v1/predictions?view={NAME}&modality={UID}")).body(jpeg_with_texts()),
        post(format!("/v1/predictions/{MRN}/labels"))
            .json(&json!({ "label": NAME, "source": MRN, "labelled_at": UID })),
        post(format!("/{NAME}/{UID}")).body(NAME),
        post("/v1/predictions".into()).header("content-type", format!("image/{MRN}")).body(NAME),
        post("/v1/predictions".into()).header("x-request-timeout-ms", MRN).body(NAME),
        post("/v1/predictions".into()).body(format!("{NAME} {MRN} {UID}")),
        get(format!("cursor={MRN}&actor={UID}")),
        get(format!("actor={UID}&reason={NAME}")),
        get(format!("format=csv&model_version={MRN}")),
        server
            .client
            .get(format!("{}/v1/predictions", server.base))
            .header("x-subject-id", MRN)
            .bearer_auth(&token),
        server.client.get(format!("{}/v1/model", server.base)).bearer_auth(format!("{NAME}.{MRN}.{UID}")),
    ];
    requests.extend(tokens_with_texts().into_iter().map(|token| {
        let request = server.prediction("");
        request.bearer_auth(token).body(jpeg_with_texts())
    }));
    let mut answers = sent(requests).await;
    let answered = answers.iter().filter(|answer| answer.contains("\"probability\"")).count();
    assert_eq!(answered, 11, "{answers:#?}");
    assert_eq!(answers.iter().filter(|answer| answer.contains("input_digest must be 64")).count(), 2);
    answers.push(below_http(&server));
    is_nowhere(&server, &url, &answers.concat()).await;
}

/// Heads and bodies of the answers.
async fn sent(requests: Vec<reqwest::RequestBuilder>) -> Vec<String> {
    let mut answers = Vec::new();
    for request in requests {
        let answer = request.send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        answers.push(headers + &answer.text().await.unwrap());
    }
    answers
}

/// Searches the answers and everything that the service stores for a patient.
async fn is_nowhere(server: &Server, url: &str, answers: &str) {
    let metrics =
        server.client.get(format!("{}/metrics", server.base)).send().await.unwrap().text().await.unwrap();
    let dump = Command::new("pg_dump").args(["--inserts", "-d", url]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("INSERT INTO") && dump.contains("pacs"));
    let places =
        [("answers", answers.to_owned()), ("log", server.log()), ("metrics", metrics), ("database", dump)];
    for (place, text) in places {
        for trace in TRACES {
            let found = text.find(trace).map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
            assert!(found.is_none(), "{trace} in the {place}: {found:?}");
        }
    }
}
