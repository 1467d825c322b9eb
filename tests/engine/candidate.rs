//! A candidate: it scores the answered images, its scores are logged and compared, and it never answers.

use system_tests::log::number;
use system_tests::server::Options;
use system_tests::{bundles, images, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_logged_beside_the_answer_and_never_answers() {
    let _host = crate::HOST.read().await;
    let directory = tempfile::tempdir().unwrap();
    let candidate = directory.path().join("candidate");
    bundles::copy(&candidate, "9.5.0");
    // This candidate decides positive for everything.
    bundles::edit(&candidate, |manifest| {
        manifest["variants"]["fp32"]["policy"]["threshold"] = 0.0.into();
        manifest["variants"]["fp32"]["policy"]["review_band"]["low"] = 0.0.into();
    });
    let url = postgres::shared().database();
    let server = Options::on(&url).set("model.shadow.bundle", &candidate.display()).start_ready().await;
    let mut negative = 0;
    for seed in 0..6 {
        let answer = server.post("", images::png(seed, true)).await;
        assert_eq!(answer.status(), 200);
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert_ne!(answer["model"]["version"], "9.5.0");
        negative += u32::from(answer["decision"] == "negative");
    }
    let scored = async || number(&url, "select count(*) from shadow_predictions") == 6;
    server.eventually(20, "the candidate has not scored all images", scored).await;
    // The network and calibration are the same: the probability has the same bits, and only the decision
    // differs. Referrals stay referrals.
    let compared = "select count(*) from predictions p join shadow_predictions s on s.prediction_id = p.id
        where s.probability = p.probability and s.answered_decision = p.decision 
        and s.decision = case p.decision when 'refer' then 'refer' else 'positive' end
        and s.model_version = '9.5.0' and s.answered_probability = p.probability";
    assert_eq!(postgres::psql(&url, compared).unwrap(), "6");
    let differs = server.metric("cxr_shadow_total{result=\"differs\"}").await;
    assert_eq!(differs, Some(f64::from(negative)));
    assert!(negative > 0, "no phantom was negative");
    let model: serde_json::Value = server.get("/v1/model", "predict").await.json().await.unwrap();
    assert_eq!(model["shadow"]["version"], "9.5.0");
    let refused = postgres::psql(&url, "delete from shadow_predictions").unwrap_err();
    assert!(refused.contains("append-only"), "{refused}");
}
