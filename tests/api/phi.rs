//! Whatever a caller writes that could name a patient, wherever it is written, is found nowhere afterwards.

use serde_json::json;
use std::process::Command;
use system_tests::server::Options;
use system_tests::{images, postgres, tokens};

/// Words that nobody else writes.
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

/// The phantom with text chunks behind its header.
fn png_with_texts() -> Vec<u8> {
    let png = images::png(3, true);
    let (head, rest) = png.split_at(33);
    let text = chunk(*b"tEXt", format!("Patient\0{NAME} {MRN} {UID}").as_bytes());
    let international = chunk(*b"iTXt", format!("Patient\0\0\0\0\0{NAME} {MRN}").as_bytes());
    [head, &text, &international, rest].concat()
}

/// The phantom with a comment and an EXIF segment behind its first marker.
fn jpeg_with_texts() -> Vec<u8> {
    let jpeg = images::jpeg(3, true);
    let segment = |marker: u8, data: &[u8]| {
        [&[0xff, marker][..], &((data.len() + 2) as u16).to_be_bytes(), data].concat()
    };
    let comment = segment(0xfe, format!("{NAME} {MRN} {UID}").as_bytes());
    let value = format!("{NAME} {MRN}\0");
    // One entry: ImageDescription, ASCII, behind the directory.
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0".to_vec();
    tiff.extend((value.len() as u32).to_le_bytes());
    tiff.extend(26_u32.to_le_bytes());
    tiff.extend(0_u32.to_le_bytes());
    tiff.extend(value.as_bytes());
    let exif = segment(0xe1, &[b"Exif\0\0", tiff.as_slice()].concat());
    [&jpeg[..2], &exif, &comment, &jpeg[2..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_patient_is_found_nowhere() {
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
    let mut answers = Vec::new();
    let form = |field: &str, file: Vec<u8>| {
        let part = reqwest::multipart::Part::bytes(file).file_name(format!("{NAME}_{MRN}.jpg"));
        reqwest::multipart::Form::new().part(field.to_owned(), part).text("age", "4")
    };
    let named_twice = |image: Vec<u8>| {
        post("/v1/predictions".into()).header("x-subject-id", MRN).header("idempotency-key", UID).body(image)
    };
    let requests = [
        post("/v1/predictions".into()).body(png_with_texts()),
        post("/v1/predictions?explain=true".into()).body(jpeg_with_texts()),
        post("/v1/predictions".into()).multipart(form("file", jpeg_with_texts())),
        post("/v1/predictions".into())
            .multipart(form("file", jpeg_with_texts()).text("subject", format!("{NAME} {UID}"))),
        // Twice: the second gets the first one's answer. Then other content, which is refused.
        named_twice(jpeg_with_texts()),
        named_twice(jpeg_with_texts()),
        named_twice(png_with_texts()),
        post("/v1/predictions".into()).header("idempotency-key", format!("{NAME} {MRN}")).body(NAME),
        // Refused in every way that repeats what was said, if anything did.
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
        server
            .client
            .get(format!("{}/v1/predictions?cursor={MRN}&actor={UID}", server.base))
            .bearer_auth(&token),
        server
            .client
            .get(format!("{}/v1/predictions?actor={UID}&reason={NAME}", server.base))
            .bearer_auth(&token),
        server
            .client
            .get(format!("{}/v1/predictions?format=csv&model_version={MRN}", server.base))
            .bearer_auth(&token),
        server
            .client
            .get(format!("{}/v1/predictions", server.base))
            .header("x-subject-id", MRN)
            .bearer_auth(&token),
        server.client.get(format!("{}/v1/model", server.base)).bearer_auth(format!("{NAME}.{MRN}.{UID}")),
    ];
    for request in requests {
        let answer = request.send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        answers.push(headers + &answer.text().await.unwrap());
    }
    let answered = answers.iter().filter(|answer| answer.contains("\"probability\"")).count();
    assert_eq!(answered, 7, "{answers:#?}");

    let metrics =
        server.client.get(format!("{}/metrics", server.base)).send().await.unwrap().text().await.unwrap();
    let dump = Command::new("pg_dump").args(["--inserts", "-d", &url]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("INSERT INTO") && dump.contains("pacs"));
    let places =
        [("answers", answers.concat()), ("log", server.log()), ("metrics", metrics), ("database", dump)];
    for (place, text) in places {
        for trace in TRACES {
            let found = text.find(trace).map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
            assert!(found.is_none(), "{trace} in the {place}: {found:?}");
        }
    }
}
