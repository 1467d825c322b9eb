//! Predictions: one radiograph in, one audited answer out.

use base64::Engine as _;
use futures_util::future::join_all;
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use std::path::Path;
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, real_data, root, tokens};

async fn answered(response: reqwest::Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The probability in the audit row of an answer.
async fn recorded_probability(server: &Server, answer: &Value) -> f64 {
    let path = format!("/v1/predictions/{}", answer["id"].as_str().unwrap());
    let row: Value = server.get(&path, "audit:read").await.json().await.unwrap();
    assert!(answer["probability"].is_null() || answer["probability"] == row["probability"], "{answer} {row}");
    row["probability"].as_f64().unwrap()
}

#[tokio::test]
async fn an_answer_agrees_with_its_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let response = server.post("?age=4&view=AP&modality=CR", images::jpeg(3, true)).await;
    let timing = response.headers()["server-timing"].to_str().unwrap().to_owned();
    assert!(["decode", "infer", "audit", "total"].iter().all(|phase| timing.contains(phase)), "{timing}");
    let answer = answered(response).await;
    let (p, threshold) = (answer["probability"].as_f64().unwrap(), answer["threshold"].as_f64().unwrap());
    assert!((0.0..=1.0).contains(&p));
    let positive = p >= threshold;
    assert_eq!(answer["class"], if positive { "PNEUMONIA" } else { "NORMAL" });
    assert_eq!(answer["decision"], if positive { "positive" } else { "negative" });
    assert!((answer["confidence"].as_f64().unwrap() - if positive { p } else { 1.0 - p }).abs() < 1e-12);
    assert_eq!(answer["review_required"], answer["reason"] != "below_threshold");
    assert!(answer["timings_ms"]["total"].as_f64().unwrap() > 0.0 && answer.get("heatmap").is_none());

    let id = answer["id"].as_str().unwrap();
    let sql = "select outcome, actor, site, probability = {p}, decision, review_required, width, height, format, age_years, \
               view, modality, model_version, array_length(embedding_coordinates, 1) > 0, ood_score > 0, \
               length(input_digest), input_bytes, image_statistics ? 'mean', request_id \
               from predictions where id = '{id}'";
    let row =
        postgres::psql(&url, &sql.replace("{p}", &format!("'{p:e}'::float8")).replace("{id}", id)).unwrap();
    let expected = format!(
        "predicted|tester|development|t|{}|{}|512|416|jpeg|4|AP|CR|{}|t|t|32|{}|t|{}",
        answer["decision"].as_str().unwrap(),
        if answer["review_required"] == true { "t" } else { "f" },
        answer["model"]["version"].as_str().unwrap(),
        images::jpeg(3, true).len(),
        answer["request_id"].as_str().unwrap(),
    );
    assert_eq!(row, expected);

    let read: Value = server.get(&format!("/v1/predictions/{id}"), "audit:read").await.json().await.unwrap();
    assert_eq!((&read["id"], &read["outcome"]), (&answer["id"], &Value::from("predicted")));
    assert_eq!(read["probability"], answer["probability"]);
    let absent = server.get("/v1/predictions/0190a000-0000-7000-8000-000000000000", "audit:read").await;
    system_tests::server::problem(absent, 404, "not_found").await;
    assert_eq!(postgres::psql(&url, "select count(*) from predictions").unwrap(), "1");
}

#[tokio::test]
async fn every_format_gets_the_same_answer_as_a_raw_body_and_in_a_form() {
    let server = Server::ready().await;
    let raw = answered(server.post("", images::png(5, true)).await).await;
    let form = Form::new().text("age", "048M").part(
        "file",
        Part::bytes(images::png(5, true)).file_name("SMITH^JOHN.png").mime_str("image/png").unwrap(),
    );
    let request = server.prediction("");
    let multipart =
        answered(request.bearer_auth(tokens::token("predict")).multipart(form).send().await.unwrap()).await;
    assert_eq!(raw["probability"], multipart["probability"]);
    assert!(!server.log().contains("SMITH"), "a file name was logged");
    // Lossy JPEG changes the score a little; 8-bit data in a 16-bit TIFF are read as 8-bit.
    let jpeg = answered(server.post("", images::jpeg(5, true)).await).await;
    let [png, jpeg] = [recorded_probability(&server, &raw).await, recorded_probability(&server, &jpeg).await];
    assert!((png - jpeg).abs() < 0.1, "{png} {jpeg}");
    let tiff = answered(server.post("?age=048M", images::tiff(5, true)).await).await;
    assert_eq!(tiff["probability"], raw["probability"]);
}

#[tokio::test]
async fn the_heatmap_is_a_picture_in_the_geometry_of_the_original() {
    let server = Server::ready().await;
    let answer = answered(server.post("?explain=true", images::png(7, true)).await).await;
    let encoded =
        answer["heatmap"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap().to_owned();
    let file = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    assert_eq!((reader.info().width, reader.info().height), (images::WIDTH, images::HEIGHT));
}

/// The probability from the library calls that the trainer evaluates with.
fn offline_probability(image: &[u8]) -> f64 {
    use cxr::bundle::{Bundle, Trust};
    let read = |name: &str| std::fs::read(root().join("models/default").join(name));
    let bundle = Bundle::open(read, &Trust::Unsigned).unwrap();
    let (_, variant) = bundle.variant(None).unwrap();
    let library =
        std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH: scripts/onnxruntime.sh prints it");
    let runtime = runtime::Runtime::load(Path::new(&library)).unwrap();
    let manifest = bundle.manifest();
    let graph = bundle.file(&variant.file).unwrap();
    let mut session = runtime.session(graph, &manifest.model, &runtime::SessionOptions::default()).unwrap();
    let decoded = cxr::decode(image, &cxr::DecodeLimits::default()).unwrap();
    let accepted = cxr::AcceptedImage::accept(
        decoded,
        cxr::metadata::AcquisitionMetadata::default(),
        &manifest.acceptance,
    )
    .unwrap();
    let input = cxr::preprocess::preprocess(&accepted, &manifest.preprocess);
    let logit = session.run(input.pixels(), 1).unwrap().logits[0];
    variant.calibration.apply(f64::from(logit)).value()
}

#[tokio::test]
async fn the_service_gives_the_same_bits_as_the_trainers_evaluation() {
    let server = Server::ready().await;
    let mut pictures: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
    if let Some(folder) = real_data("kermany_originals/val/PNEUMONIA") {
        pictures.extend(
            std::fs::read_dir(folder).unwrap().take(4).map(|f| std::fs::read(f.unwrap().path()).unwrap()),
        );
    }
    for picture in pictures {
        let answer = answered(server.post("", picture.clone()).await).await;
        let online = recorded_probability(&server, &answer).await;
        assert_eq!(online.to_bits(), offline_probability(&picture).to_bits());
    }
}

#[tokio::test]
async fn originals_get_the_same_decision_as_their_stored_copies() {
    let (Some(originals), Some(copies)) = (real_data("kermany_originals"), real_data("kermany224")) else {
        return;
    };
    let server = Server::ready().await;
    let (mut n, mut flips, mut differences) = (0, 0, 0.0);
    for folder in ["train/NORMAL", "train/PNEUMONIA", "val/NORMAL", "val/PNEUMONIA"] {
        for entry in std::fs::read_dir(originals.join(folder)).unwrap() {
            let original = entry.unwrap().path();
            let copy = copies.join(folder).join(original.file_name().unwrap());
            let a = answered(server.post("", std::fs::read(original).unwrap()).await).await;
            let b = answered(server.post("", std::fs::read(copy).unwrap()).await).await;
            let [p, q] = [recorded_probability(&server, &a).await, recorded_probability(&server, &b).await];
            differences += (p - q).abs();
            flips += u32::from(a["decision"] != b["decision"]);
            n += 1;
        }
    }
    println!(
        "{n} originals: mean difference of the probability {:.4}, {flips} decisions flip",
        differences / f64::from(n)
    );
    assert!(flips <= 1);
}

#[tokio::test]
async fn concurrent_requests_each_get_their_own_answer_and_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    // Some phantoms are out of distribution: their probability is only in the row.
    let mut expected = Vec::new();
    for seed in 0..6 {
        let answer = answered(server.post("", images::jpeg(seed, true)).await).await;
        expected.push(recorded_probability(&server, &answer).await);
    }
    let posts: Vec<_> = (0..24).map(|n| server.post("", images::jpeg(n % 6, true))).collect();
    for (n, response) in join_all(posts).await.into_iter().enumerate() {
        let answer = answered(response).await;
        assert_eq!(recorded_probability(&server, &answer).await.to_bits(), expected[n % 6].to_bits());
    }
    assert_eq!(postgres::psql(&url, "select count(distinct request_id) from predictions").unwrap(), "30");
}

#[tokio::test]
async fn a_row_cannot_be_changed() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    answered(server.post("", images::jpeg(1, false)).await).await;
    for statement in
        ["update predictions set probability = 0", "delete from predictions", "truncate predictions"]
    {
        let error = postgres::psql(&url, statement).unwrap_err();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn impossible_rows_violate_check_constraints() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    answered(server.post("", images::jpeg(1, false)).await).await;
    let copy = |change: &str| {
        format!(
            "insert into predictions select (jsonb_populate_record(p, '{change}')).* from predictions p limit 1"
        )
    };
    let first = postgres::psql(&url, "select first_id(now())").unwrap();
    let id = format!(r#""id": "{first}""#);
    postgres::psql(&url, &copy(&format!("{{{id}}}"))).unwrap();
    // A row as a replica of the previous version writes it.
    let id = format!(r#""id": "{}1""#, &first[..first.len() - 1]);
    let older = r#""encoding_version": 4, "orientation": null, "assumed": null, "heatmap_low": null, "heatmap_high": null"#;
    postgres::psql(&url, &copy(&format!("{{{id}, {older}}}"))).unwrap();
    let id = format!(r#""id": "{}2""#, &first[..first.len() - 1]);
    for change in [
        r#""decision": "refer", "review_required": false"#,
        r#""encoding_version": 4"#,
        r#""orientation": null"#,
        r#""orientation": 9"#,
        r#""assumed": {}"#,
        r#""heatmap_high": null"#,
        r#""heatmap_low": -1"#,
        r#""probability": 1.5"#,
        r#""probability": null"#,
        r#""outcome": "rejected""#,
        r#""outcome": "guessed""#,
        r#""decision": "maybe""#,
        r#""actor": """#,
        r#""width": 0"#,
    ] {
        let refused = postgres::psql(&url, &copy(&format!("{{{id}, {change}}}")));
        assert!(refused.as_ref().is_err_and(|error| error.contains("constraint")), "{change}: {refused:?}");
    }
}
