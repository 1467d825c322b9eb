//! Answers that cannot be misread: an image that the model is not for gets no class, and one of which nobody knows whether it is
//! gets a radiologist.

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

/// A development profile whose site says something else of its patients.
fn site(folder: &tempfile::TempDir, patients: &str) -> Options {
    let file = format!("service: {{patients: {patients}}}\n");
    std::fs::write(folder.path().join("development.yaml"), file).unwrap();
    let options = Options::on(&postgres::shared().database());
    options.variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap())
}

/// No class and no number, in so many words.
fn is_referred(answer: &Value, reason: &str) {
    assert_eq!((&answer["decision"], &answer["reason"]), (&json!("refer"), &json!(reason)), "{answer}");
    for member in ["class", "probability", "confidence"] {
        assert_eq!(answer.get(member), Some(&Value::Null), "{member}: {answer}");
    }
    assert_eq!(answer["review_required"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_is_not_for_is_referred_and_the_row_keeps_the_numbers() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let mut foreign = vec![(images::stripes(), String::new(), "out_of_distribution")];
    for query in ["&age=45", "&age=4&view=PA", "&view=LL"] {
        foreign.push((images::jpeg(3, true), query.to_owned(), "outside_intended_use"));
    }
    if let Some(cat) = real_data("ood/natural/cat_720p.jpg") {
        foreign.push((std::fs::read(cat).unwrap(), String::new(), "out_of_distribution"));
    }
    for (image, query, reason) in &foreign {
        let answer = json(server.post(&format!("?explain=true{query}"), image.clone()).await).await;
        is_referred(&answer, reason);
        // The evidence for a class that is not claimed is not shown.
        assert_eq!(answer.get("heatmap"), Some(&Value::Null));
        assert_eq!((&answer["heatmap_withheld"], answer.get("heatmap_legend")), (&json!("referred"), None));
        let row = row(&server, &answer).await;
        assert_eq!((&row["decision"], &row["decision_reason"]), (&json!("refer"), &json!(reason)));
        for column in ["logit", "probability", "confidence", "threshold", "ood_score"] {
            assert!(row[column].is_f64(), "{column}: {row}");
        }
        assert!(!row["cam"].as_array().unwrap().is_empty());
    }
    let n = foreign.len();
    let referred = server.metric("cxr_predictions_total{decision=\"refer\"}").await;
    assert_eq!(referred, Some(n as f64));
    for query in ["decision=refer", "unreviewed=true"] {
        let found = json(server.get(&format!("/v1/predictions?{query}"), "audit:read").await).await;
        assert_eq!(found["items"].as_array().unwrap().len(), n, "{query}");
    }
    // Wherever the answer is told again, it says no more.
    let events = server.get("/v1/predictions?format=fhir", "audit:read").await.text().await.unwrap();
    assert!(events.lines().count() == n && !events.contains("\"probability\""), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_referred_image_gets_no_class_either() {
    let server = Server::ready().await;
    let post = || {
        let request = server.client.post(format!("{}/v1/predictions?explain=true&age=45", server.base));
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
async fn an_image_of_unknown_age_or_view_needs_a_radiologist_where_the_site_says_nothing() {
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
async fn what_a_site_states_of_its_patients_stands_in_and_the_row_says_so() {
    let whole = json!({ "age_years": [1.0, 5.0], "views": ["AP"] });
    for (patients, query, reason, assumed) in [
        ("{}", "", "below_threshold", whole.clone()),
        ("{}", "?age=4", "below_threshold", json!({ "views": ["AP"] })),
        ("{}", "?age=4&view=AP", "below_threshold", Value::Null),
        // What is stated of the image counts, whatever its site says.
        ("{}", "?age=45", "outside_intended_use", json!({ "views": ["AP"] })),
        // All ages come here: of this image nothing is known.
        (
            "{age_years: [0, 90]}",
            "",
            "intended_use_unknown",
            json!({ "age_years": [0.0, 90.0], "views": ["AP"] }),
        ),
        // None of its patients is a child.
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
