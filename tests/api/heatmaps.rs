//! Heatmaps on one scale: a clear negative stays dark, the picture has a legend, and a bundle without a scale
//! gives no heatmap.

use base64::Engine as _;
use png::Decoder;
use serde_json::Value;
use std::io::Cursor;
use system_tests::server::{Options, Server};
use system_tests::{bundles, images, postgres, real_data, tokens};

async fn explained(server: &Server, image: Vec<u8>) -> Value {
    let response = server.post("?explain=true", image).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

fn file(answer: &Value, member: &str) -> Vec<u8> {
    let uri = answer[member].as_str().unwrap_or_else(|| panic!("no {member}: {answer}"));
    let encoded = uri.strip_prefix("data:image/png;base64,").unwrap();
    base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()
}

/// The scale in the file's text, and its pixels as palette indices.
fn drawn(file: &[u8]) -> (String, Vec<u8>) {
    let mut reader = Decoder::new(Cursor::new(file)).read_info().unwrap();
    let texts = &reader.info().uncompressed_latin1_text;
    let text = |key: &str| texts.iter().find(|text| text.keyword == key).unwrap().text.clone();
    assert!(text("Description").contains("does not localise"), "{}", text("Description"));
    let scale = text("cxr-scale");
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    (scale, pixels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_negative_stays_dark_and_a_positive_is_drawn_on_the_same_scale() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let negative = explained(&server, images::png(7, true)).await;
    assert_eq!(negative["reason"], "below_threshold");
    let (scale, pixels) = drawn(&file(&negative, "heatmap"));
    assert!(pixels.iter().all(|index| *index == 0), "a clear negative lights up");
    let legend = file(&negative, "heatmap_legend");
    assert!(Decoder::new(Cursor::new(&legend)).read_info().is_ok());

    let model: Value = server.get("/v1/model", "predict").await.json().await.unwrap();
    let ends =
        [&model["heatmap_scale"]["low"], &model["heatmap_scale"]["high"]].map(|end| end.as_f64().unwrap());
    let [low, high] = [0, 1].map(|end| scale.split(' ').nth(end).unwrap().parse::<f64>().unwrap());
    assert!((low - ends[0]).abs() < 1e-5 && (high - ends[1]).abs() < 1e-5, "{scale} {model}");
    let sql = "select count(*) from predictions where heatmap_low > 0 and heatmap_high > heatmap_low";
    assert_eq!(postgres::psql(&url, sql).unwrap(), "1", "the row has the scale of the heatmap");

    let Some(folder) = real_data("kermany_originals/val/PNEUMONIA") else { return };
    let mut n_drawn = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let positive = explained(&server, std::fs::read(entry.unwrap().path()).unwrap()).await;
        if positive["decision"] != "positive" {
            continue;
        }
        let (same, pixels) = drawn(&file(&positive, "heatmap"));
        assert_eq!(same, scale);
        n_drawn += u32::from(pixels.iter().any(|index| *index > 0));
    }
    assert!(n_drawn >= 6, "{n_drawn} positives show something");
    for entry in std::fs::read_dir(real_data("kermany_originals/val/NORMAL").unwrap()).unwrap() {
        let normal = explained(&server, std::fs::read(entry.unwrap().path()).unwrap()).await;
        if normal["reason"] == "below_threshold" {
            let (_, pixels) = drawn(&file(&normal, "heatmap"));
            let lit = pixels.iter().filter(|index| **index > 0).count();
            assert!(lit * 20 < pixels.len(), "{lit} of {} pixels of a normal image are drawn", pixels.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_without_a_scale_gives_no_heatmaps_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old");
    bundles::copy(&old, "9.6.0");
    bundles::edit(&old, |manifest| {
        for variant in manifest["variants"].as_object_mut().unwrap().values_mut() {
            variant.as_object_mut().unwrap().remove("heatmap");
        }
    });
    let url = postgres::shared().database();
    let server = Options::on(&url).set("model.bundle", &old.display()).start_ready().await;
    let request = || {
        let request = server.prediction("?explain=true");
        request
            .bearer_auth(tokens::token("predict"))
            .header("Idempotency-Key", "k")
            .body(images::png(7, true))
    };
    for _ in 0..2 {
        let answer: Value = request().send().await.unwrap().json().await.unwrap();
        assert_eq!(answer.get("heatmap"), Some(&Value::Null), "{answer}");
        assert_eq!(answer["heatmap_withheld"], "no_scale");
        assert!(answer["probability"].is_f64());
    }
    let model: Value = server.get("/v1/model", "predict").await.json().await.unwrap();
    assert_eq!(model.get("heatmap_scale"), Some(&Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_first_heatmap_even_after_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("model");
    bundles::copy(&bundle, "9.7.0");
    let url = postgres::shared().database();
    let server = Options::on(&url).set("model.bundle", &bundle.display()).start_ready().await;
    let image = images::png(7, true);
    let request = || {
        let request = server.prediction("?explain=true");
        request.bearer_auth(tokens::token("predict")).header("Idempotency-Key", "k").body(image.clone())
    };
    let first: Value = request().send().await.unwrap().json().await.unwrap();
    bundles::edit(&bundle, |manifest| {
        manifest["version"] = "9.8.0".into();
        manifest["variants"]["fp32"]["heatmap"]["low"] = 0.0.into();
    });
    let reload = server.client.post(format!("{}/v1/model/reload", server.base));
    let reloaded = reload.bearer_auth(tokens::token("admin")).send().await.unwrap();
    assert_eq!(reloaded.status(), 200);
    let again: Value = request().send().await.unwrap().json().await.unwrap();
    assert_eq!((&again["id"], &again["heatmap"]), (&first["id"], &first["heatmap"]));
    assert_eq!(again["heatmap_legend"], first["heatmap_legend"]);
}
