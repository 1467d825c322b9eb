//! Golden texts and leaves from another program (Python). If this fails, existing logs no longer verify.

use super::super::Digests;
use super::{AuditRow, Hex};
use serde_json::json;
use time::macros::datetime;
use uuid::uuid;

/// Every column has a value. The numbers are ones that programs tend to write differently.
fn row(encoding_version: i16) -> AuditRow {
    AuditRow {
        id: uuid!("01933c5e-6f0e-7d4e-9a51-1f2f3c4d5e6f"),
        request_id: "0b3f4c7e-9a51-4d4e-8f6e-1f2f3c4d5e6f".into(),
        received_at: datetime!(2026-01-05 10:12:44.120_500_9 +1),
        recorded_at: Some(datetime!(2026-01-05 09:12:45 UTC)),
        actor: "röntgen-\"1\"".into(),
        site: "main".into(),
        subject: (encoding_version >= 3).then(|| Hex(vec![0x5e; 32])),
        encoding_version,
        outcome: "predicted".into(),
        reason: None,
        input_digest: Hex(vec![0xab; 32]),
        input_bytes: 123_456,
        format: Some("jpeg".into()),
        width: Some(512),
        height: Some(416),
        significant_bits: Some(8),
        colour: Some("grey".into()),
        orientation: (encoding_version >= 5).then_some(6),
        age_years: Some(0.1),
        view: Some("PA".into()),
        modality: Some("CR".into()),
        assumed: (encoding_version >= 5).then(|| json!({ "views": ["AP"], "age_years": [1.0, 5.5] })),
        statistics_version: Some(1),
        image_statistics: Some(json!({ "mean": 0.5, "entropy": 4.35 })),
        model_name: Some("cxr-pneumonia".into()),
        model_version: Some("1.0.0".into()),
        bundle_digest: Some("9f".repeat(32)),
        variant: Some("fp32".into()),
        execution: Some(json!({ "provider": "cpu", "intra_threads": 2 })),
        policy_digest: Some("0c".repeat(32)),
        logit: Some(-1.5),
        probability: Some(0.182_425_523_806_356_35),
        confidence: Some(0.817_574_476_193_643_7),
        threshold: Some(0.41),
        decision: Some(if encoding_version >= 5 { "refer" } else { "negative" }.into()),
        review_required: Some(encoding_version >= 5),
        decision_reason: Some(
            if encoding_version >= 5 { "out_of_distribution" } else { "below_threshold" }.into(),
        ),
        ood_score: Some(1e-7),
        embedding_coordinates: Some(vec![0.3, -2.0, 1e21]),
        cam: Some(vec![0.0, 1.0, 0.7, -0.0]),
        cam_width: Some(2),
        cam_height: Some(2),
        heatmap_low: (encoding_version >= 5).then_some(0.7),
        heatmap_high: (encoding_version >= 5).then_some(9.25),
        timings: json!({ "queue": 0.0, "infer": 9.75, "admission": 0.4 }),
    }
}

#[test]
fn rows_of_every_version_have_the_text_and_the_leaf_that_they_always_had() {
    let golden = [
        (2, include_str!("row-v2.json"), "a942a252e557006d1c7de53684fb92df5a122fbd54fc74dcf2938909f433124d"),
        (3, include_str!("row-v3.json"), "6fe54a9b552e6f342101755c9871586e3d9719908ddaec59d8f28088ffc62cc0"),
        (4, include_str!("row-v4.json"), "66e58c9b6979a5822eeaa37c44bcf3f6d4c004bdcabad10bc02ff84b9c2a5d8e"),
        (5, include_str!("row-v5.json"), "381d03ed9ed238ce2a9248b3fcb2a13cf8c7a40f3db0624dd0a065f6538fe2ab"),
    ];
    for (encoding_version, text, leaf) in golden {
        let row = row(encoding_version);
        let canonical = row.canonical().unwrap();
        assert_eq!(String::from_utf8(canonical.clone()).unwrap(), text.trim_end());
        let digests = Digests::of(row.id, encoding_version, &canonical);
        assert_eq!(hex::encode(digests.leaf_hash.0), leaf, "version {encoding_version}");
        assert_eq!(digests.bind(row.id), encoding_version >= 4, "version {encoding_version}");
    }
}
