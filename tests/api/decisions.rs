//! Intended use: an image outside of it is referred without a class, and one whose age or view is unknown
//! requires review.

use reqwest::Response;
use serde_json::{Value, json};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, real_data, tokens};

async fn json(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn row(server: &Server, answer: &Value) -> Value {
    json(server.get(&format!("/v1/predictions/{}", answer["id"].as_str().unwrap()), "audit:read").await).await
}

/// The development profile with other `service.patients`.
fn site(folder: &tempfile::TempDir, patients: &str) -> Options {
    let file = format!("service: {{patients: {patients}}}\n");
    std::fs::write(folder.path().join("development.yaml"), file).unwrap();
    let options = Options::on(&postgres::shared().database());
    options.variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap())
}

/// Asserts that an answer is `refer`, without class, probability and confidence.
fn is_referred(answer: &Value, reason: &str) {
    assert_eq!((&answer["decision"], &answer["reason"]), (&json!("refer"), &json!(reason)), "{answer}");
    for member in ["class", "probability", "confidence"] {
        assert_eq!(answer.get(member), Some(&Value::Null), "{member}: {answer}");
    }
    assert_eq!(answer["review_required"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_outside_the_intended_use_is_referred_and_its_row_keeps_the_numbers() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let mut outside = vec![(images::stripes(), String::new(), "out_of_distribution")];
    for query in ["&age=45", "&age=4&view=PA", "&view=LL"] {
        outside.push((images::jpeg(3, true), query.to_owned(), "outside_intended_use"));
    }
    if let Some(cat) = real_data("ood/natural/cat_720p.jpg") {
        outside.push((std::fs::read(cat).unwrap(), String::new(), "out_of_distribution"));
    }
    for (image, query, reason) in &outside {
        let answer = json(server.post(&format!("?explain=true{query}"), image.clone()).await).await;
        is_referred(&answer, reason);
        // No heatmap for a class that is not stated.
        assert_eq!(answer.get("heatmap"), Some(&Value::Null));
        assert_eq!((&answer["heatmap_withheld"], answer.get("heatmap_legend")), (&json!("referred"), None));
        let row = row(&server, &answer).await;
        assert_eq!((&row["decision"], &row["decision_reason"]), (&json!("refer"), &json!(reason)));
        for column in ["logit", "probability", "confidence", "threshold", "ood_score"] {
            assert!(row[column].is_f64(), "{column}: {row}");
        }
        assert!(!row["cam"].as_array().unwrap().is_empty());
    }
    let n = outside.len();
    let referred = server.metric("cxr_predictions_total{decision=\"refer\"}").await;
    assert_eq!(referred, Some(n as f64));
    for query in ["decision=refer", "unreviewed=true"] {
        let found = json(server.get(&format!("/v1/predictions?{query}"), "audit:read").await).await;
        assert_eq!(found["items"].as_array().unwrap().len(), n, "{query}");
    }
    // The FHIR events omit the probability too.
    let events = server.get("/v1/predictions?format=fhir", "audit:read").await.text().await.unwrap();
    assert!(events.lines().count() == n && !events.contains("\"probability\""), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_referral_has_no_class_either() {
    let server = Server::ready().await;
    let post = || {
        let request = server.prediction("?explain=true&age=45");
        request
            .bearer_auth(tokens::token("predict"))
            .header("Idempotency-Key", "k-1")
            .body(images::jpeg(3, true))
            .send()
    };
    let first = json(post().await.unwrap()).await;
    let again = post().await.unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let again = json(again).await;
    is_referred(&again, "outside_intended_use");
    for member in ["id", "heatmap", "heatmap_withheld", "threshold", "model"] {
        assert_eq!(again.get(member), first.get(member), "{member}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_unknown_age_or_view_requires_review_if_the_site_states_no_patients() {
    let folder = tempfile::tempdir().unwrap();
    let server = site(&folder, "{age_years: null, views: [], modalities: []}").start_ready().await;
    for (query, reason) in [
        ("", "intended_use_unknown"),
        ("?age=4", "intended_use_unknown"),
        ("?view=AP", "intended_use_unknown"),
        ("?age=4&view=AP", "below_threshold"),
    ] {
        let answer = json(server.post(query, images::png(7, true)).await).await;
        assert_eq!((&answer["reason"], answer["class"].is_string()), (&json!(reason), true), "{query}");
        assert_eq!(answer["review_required"], reason != "below_threshold");
        assert!(answer["probability"].is_f64() && answer.get("assumed").is_none(), "{answer}");
        assert_eq!(row(&server, &answer).await["assumed"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_patients_of_the_site_replace_unknown_ages_and_views_and_the_row_records_it() {
    let whole = json!({ "age_years": [1.0, 5.0], "views": ["AP"] });
    for (patients, query, reason, assumed) in [
        ("{}", "", "below_threshold", whole.clone()),
        ("{}", "?age=4", "below_threshold", json!({ "views": ["AP"] })),
        ("{}", "?age=4&view=AP", "below_threshold", Value::Null),
        // The metadata of the image take precedence over the site.
        ("{}", "?age=45", "outside_intended_use", json!({ "views": ["AP"] })),
        // The site has patients of all ages, so the age stays unknown.
        (
            "{age_years: [0, 90]}",
            "",
            "intended_use_unknown",
            json!({ "age_years": [0.0, 90.0], "views": ["AP"] }),
        ),
        // The site has no children, for whom the model is intended.
        (
            "{age_years: [18, 90]}",
            "",
            "outside_intended_use",
            json!({ "age_years": [18.0, 90.0], "views": ["AP"] }),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = site(&folder, patients).start_ready().await;
        let answer = json(server.post(query, images::png(7, true)).await).await;
        assert_eq!(answer["reason"], reason, "{patients} {query}");
        assert_eq!(answer.get("assumed").cloned().unwrap_or_default(), assumed, "{patients} {query}");
        let row = row(&server, &answer).await;
        assert_eq!(row["assumed"], assumed);
        let stated =
            if query.contains("age=") { row["age_years"].is_number() } else { row["age_years"].is_null() };
        assert!(stated, "what is assumed is not written down as stated: {row}");
    }
}
