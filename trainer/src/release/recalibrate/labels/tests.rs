//! Every format of the log, and which rows are used.

use super::*;

fn read(content: &str) -> Result<Labelled> {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("labels");
    std::fs::write(&file, content).unwrap();
    let labels = ["NORMAL".to_owned(), "PNEUMONIA".to_owned()];
    let expected = Expected { bundle_digests: &["ab".to_owned()], variant: "fp32", labels: &labels };
    Labelled::read(&file, &expected)
}

const CSV: &str = "id,outcome,logit,label,subject,bundle_digest,decision,model_version\n\
    a,predicted,1.5,PNEUMONIA,x,ab,positive,1.0.0\nb,predicted,-2,normal,x,ab,negative,1.0.0\nc,rejected,,,,,,\n\
    d,predicted,0.5,,y,ab,negative,1.0.0\na,predicted,1.5,1,x,ab,positive,1.0.0\ne,predicted,9.5,1,z,ab,refer,1.0.0\n\
    f,predicted,0.1,1,z,cd,positive,0.9.0\n";

/// As `GET /v1/predictions?format=ndjson` gives them.
const SEARCHED: &str = "
    {\"id\":\"a\",\"outcome\":\"predicted\",\"logit\":1.5,\"subject\":\"x\",\"recorded_at\":\"2026-01-01T00:00:00Z\",\"label\":\"positive\",\"labelled_at\":\"2026-01-02T00:00:00Z\",\"source\":\"radiologist\"}
    {\"id\":\"b\",\"logit\":-2.0,\"label\":\"negative\",\"labelled_at\":null,\"source\":null,\"subject\":\"x\",\"variant\":\"fp32\"}
    {\"id\":\"d\",\"logit\":-2.0,\"label\":null,\"labelled_at\":null,\"source\":null,\"subject\":\"x\",\"variant\":\"fp32\"}
";

/// As `cxr-service audit export` gives them.
const EXPORTED: &str = "
    {\"leaf_index\":0,\"id\":\"a\",\"leaf_hash\":\"h\",\"row\":{\"id\":\"a\",\"outcome\":\"predicted\",\"logit\":1.5,\"subject\":\"x\",\"bundle_digest\":\"ab\"},\"labels\":[\
{\"label\":\"positive\",\"source\":\"follow_up\",\"labelled_at\":\"2026-02-01T00:00:00Z\",\"recorded_at\":\"2026-02-03T00:00:00Z\"},\
{\"label\":\"negative\",\"source\":\"report\",\"labelled_at\":\"2026-02-01T00:00:00Z\",\"recorded_at\":\"2026-02-02T00:00:00Z\"}]}
    {\"tree_size\":1,\"checkpoint\":\"note\"}
    {\"leaf_index\":1,\"id\":\"c\",\"leaf_hash\":\"h\",\"row\":null}
    {\"id\":\"b\",\"waits\":true,\"row\":{\"id\":\"b\",\"outcome\":\"predicted\",\"logit\":-2.0,\"subject\":\"x\"},\"labels\":[{\"label\":\"negative\",\"source\":\"report\",\"labelled_at\":\"2026-02-01T00:00:00Z\",\"recorded_at\":\"2026-02-02T00:00:00Z\"}]}
    {\"id\":\"z\",\"waits\":false,\"row\":{\"id\":\"z\",\"outcome\":\"predicted\",\"logit\":-2.0},\"labels\":[{\"label\":\"negative\"}]}
";

#[test]
fn every_format_gives_the_same_labels_and_skipped_rows_are_counted() {
    for content in [CSV, SEARCHED, EXPORTED] {
        let found = read(content).unwrap();
        assert_eq!(found.positive, [true, false], "{content}");
        assert!((found.logits[0] - 1.5).abs() < 1e-12 && (found.logits[1] + 2.0).abs() < 1e-12);
        assert_eq!(found.patients, [0, 0]);
        assert!(found.grouped);
        assert_eq!(found.sha256, cxr::bundle::sha256_hex(content.as_bytes()));
    }
    let skipped = |content: &str, expected: &[(&str, usize)]| {
        let expected = expected.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect();
        assert_eq!(read(content).unwrap().skipped, expected);
    };
    skipped(
        CSV,
        &[
            ("of another bundle (0.9.0)", 1),
            ("referred", 1),
            ("the same prediction again", 1),
            ("without a label", 1),
            ("without a prediction (rejected)", 1),
        ],
    );
    skipped(SEARCHED, &[("without a label", 1)]);
    skipped(
        EXPORTED,
        &[("not written by the service: run `cxr-service audit verify`", 1), ("dropped by retention", 1)],
    );
    let exported = read(EXPORTED).unwrap();
    assert_eq!(exported.n_relabelled, 1);
    assert_eq!(exported.sources, [("follow_up".to_owned(), 1), ("report".to_owned(), 1)].into());
}

#[test]
fn the_current_label_is_used_and_a_contradiction_is_skipped() {
    let csv = |lines: &str| read(&format!("id,logit,label,labelled_at\n{lines}")).unwrap();
    let later = csv("a,1.0,1,2026-01-02T00:00:00Z\na,1.0,0,2026-01-03T00:00:00+01:00\n");
    assert_eq!((later.positive.as_slice(), later.n_relabelled), ([false].as_slice(), 1));
    let earlier = csv("a,1.0,1,2026-01-02T00:00:00Z\na,1.0,0,2026-01-01T00:00:00Z\n");
    assert_eq!(earlier.positive, [true]);
    // A label with a time takes precedence over one without.
    assert_eq!(csv("a,1.0,1,\na,1.0,0,2026-01-01T00:00:00Z\n").positive, [false]);
    for contradiction in ["a,1.0,1,\na,1.0,0,\n", "a,1,1,2026-01-02T00:00:00Z\na,1,0,2026-01-02T00:00:00Z\n"]
    {
        let found = csv(contradiction);
        assert!(found.positive.is_empty());
        assert_eq!(found.skipped["with contradicting labels of the same time"], 1);
    }
}

#[test]
fn errors_name_the_line() {
    for (content, expected) in [
        ("logit,label\n1.0,1\n2.0,maybe\n", "line 3"),
        ("logit,label\nhigh,1\n", "is not a number"),
        ("score,label\n1.0,1\n", "no column `logit`"),
        ("id,logit\na,1.0\n", "no column `label`"),
        ("logit,label\ninf,1\n", "not finite"),
        ("logit,label,labelled_at\n1.0,1,yesterday\n", "labelled_at \"yesterday\""),
        ("{\"logit\":1.0,\"label\":1}\n{\"logit\":", "line 2"),
        ("[{\"logit\":1.0}]", "one object a line"),
        ("{\"items\":[],\"next\":null}", "format=ndjson"),
        ("", "no column"),
    ] {
        let error = format!("{:#}", read(content).unwrap_err());
        assert!(error.contains(expected), "{content}: {error}");
    }
}

#[test]
fn rows_without_a_patient_count_as_one_each_and_equal_uploads_are_grouped() {
    let found = read("logit,label\n1.0,1\n2.0,0\n").unwrap();
    assert_eq!(found.patients, [0, 1]);
    assert!(!found.grouped);
    let found = read("logit,label,input_digest\n1.0,1,aa\n2.0,0,bb\n1.0,1,aa\n").unwrap();
    assert_eq!(found.patients, [0, 1, 0]);
    assert!(!found.grouped);
}

#[test]
fn statistics_and_positions_are_measured_only_if_every_labelled_row_has_them() {
    let row = |id: &str, label: &str, more: &str| {
        format!("{{\"id\":\"{id}\",\"logit\":1.0,\"label\":{label}{more}}}\n")
    };
    let second = ",\"image_statistics\":{\"mean\":0.5,\"letters\":0.1},\"ood_score\":1.5,\"embedding_coordinates\":[1,-2]";
    let first = ",\"image_statistics\":{\"mean\":0.25}";
    // The third row is not labelled: what it lacks does not matter.
    let whole = row("a", "1", second) + &row("b", "0", second) + &row("c", "null", first);
    let found = read(&whole).unwrap().measured;
    assert_eq!((found.statistics["mean"].as_slice(), found.positions.len()), ([0.5, 0.5].as_slice(), 2));
    assert_eq!(found.positions[0].coordinates, [1.0, -2.0]);
    assert!(!found.statistics.contains_key("border") && found.not_measured["border"].contains("0 of 2"));
    let mixed = row("a", "1", second) + &row("b", "0", first);
    let found = read(&mixed).unwrap().measured;
    assert_eq!(found.statistics.keys().collect::<Vec<_>>(), [&"mean"], "version 1 of the statistics has it");
    assert!(found.positions.is_empty() && found.not_measured["position"].contains("1 of 2"));
    assert!(found.not_measured["letters"].contains("1 of 2"));
    let error = read(&row("a", "1", ",\"image_statistics\":[1]")).unwrap_err();
    assert!(format!("{error:#}").contains("image_statistics: not as in the log"), "{error:#}");
}
