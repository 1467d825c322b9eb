//! Rows with their leaves, written by SQL in bulk, and questions about what the job made of them.

use system_tests::postgres::{name, psql};
use system_tests::server::Options;
use system_tests::{eventually, log::number};

/// Rows to insert.
pub(crate) struct Bulk<'a> {
    pub(crate) n: u64,
    /// SQL of the first row's time.
    pub(crate) from: &'a str,
    pub(crate) every_s: u64,
    /// Added to the statistics and probabilities, which lie between 0 and 0.5.
    pub(crate) shift: f64,
}

/// Inserts rows and their leaves after those in the tree. Every fiftieth image is rejected, every thousandth
/// has the largest `ood_score`, and a patient has two images.
pub(crate) fn insert(url: &str, bulk: &Bulk<'_>) {
    let Bulk { n, from, every_s, shift } = bulk;
    let months = "DO $$ DECLARE m timestamp := date_trunc('month', now() at time zone 'UTC') - interval '4 months';
        BEGIN WHILE m < date_trunc('month', now() at time zone 'UTC') LOOP
            IF to_regclass('predictions_' || to_char(m, 'YYYY_MM')) IS NULL THEN
                EXECUTE format('CREATE TABLE predictions_%s PARTITION OF predictions FOR VALUES FROM (%L) TO (%L)', to_char(m, 'YYYY_MM'),
                    first_id(m at time zone 'UTC'), first_id((m + interval '1 month') at time zone 'UTC'));
            END IF;
            m := m + interval '1 month';
        END LOOP; END $$;";
    let rows = format!(
        "SELECT setseed(0.5);
        CREATE TEMP TABLE fresh AS SELECT leaf, at, (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
                || lpad(to_hex(leaf % 4096), 3, '0') || '8' || lpad(to_hex(leaf), 15, '0'))::uuid AS id, leaf % 50 = 7 AS no,
                random() / 2 + {shift} AS r, random() / 2 + {shift} AS p
            FROM (SELECT i + (SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaves) AS leaf,
                ({from})::timestamptz + make_interval(secs => i * {every_s}) AS at FROM generate_series(0, {n} - 1) AS i) AS times;
        INSERT INTO predictions (id, request_id, received_at, actor, site, subject, encoding_version, outcome, reason, input_digest,
            input_bytes, view, format, width, height, significant_bits, colour, statistics_version, image_statistics, model_name,
            model_version, bundle_digest, variant, execution, policy_digest, logit, probability, confidence, threshold, decision,
            review_required, decision_reason, ood_score, embedding_coordinates, cam, cam_width, cam_height, timings)
        SELECT id, 'bulk', at, 'bulk', 'main', sha256(int8send(leaf / 2)), 4, CASE WHEN no THEN 'rejected' ELSE 'predicted' END,
            CASE WHEN no THEN 'blank' END, sha256(int8send(leaf)), 1000, CASE leaf % 2 WHEN 0 THEN 'PA' ELSE 'AP' END,
            'jpeg', 100, 100, 8, 'grey', 1,
            jsonb_build_object('mean', r, 'standard_deviation', r / 4, 'p01', r / 10, 'p50', r, 'p99', (1 + r) / 2,
                'entropy_bits', 5 + r, 'black_fraction', r / 20, 'white_fraction', r / 30, 'edge_strength', r / 40,
                'aspect_ratio', 1 + p, 'megapixels', 1 + p),
            v.model, v.version, v.digest, v.variant, v.execution, v.policy, v.zero, CASE WHEN NOT no THEN p END, v.zero,
            v.threshold, CASE WHEN no THEN NULL WHEN p >= 0.4 THEN 'positive' ELSE 'negative' END, v.review, v.why,
            CASE WHEN no THEN NULL WHEN leaf % 1000 = 500 THEN 1.7976931348623157e308 ELSE r * 3 END,
            CASE WHEN NOT no THEN array_fill((r - 0.25)::real, ARRAY[4]) END, v.cam, v.side, v.side, '{{}}'
        FROM fresh LEFT JOIN (VALUES ('m', '1.0.0', repeat('ab', 32), 'fp32', '{{}}'::jsonb, repeat('cd', 32), 0.0::float8, 0.4::float8,
            false, 'threshold', ARRAY[0, 0, 0, 0]::real[], 2::smallint)) AS v (model, version, digest, variant, execution, policy,
            zero, threshold, review, why, cam, side) ON NOT no ORDER BY leaf;
        INSERT INTO audit_leaves (leaf_index, prediction_id, leaf_hash, row_hash)
        SELECT leaf, id, sha256(uuid_send(id)), sha256(uuid_send(id)) FROM fresh ORDER BY leaf;"
    );
    psql(url, &format!("SET client_min_messages = error; {months} {rows}"))
        .unwrap_or_else(|error| panic!("{}: {error}", name(url)));
}

/// A replica that steps often.
pub(crate) fn replica(url: &str) -> Options {
    Options::on(url).set("monitoring.interval_ms", &200).set("monitoring.results_interval_ms", &500)
}

/// Waits until the job has read this many leaves.
pub(crate) async fn read(url: &str, n: u64, within_s: u64) {
    let cursor = async || number(url, "select next_leaf from monitoring_cursor") >= n;
    eventually(within_s, &format!("the job has not read {n} leaves"), cursor).await;
}

/// Runs a command of `cxr-service monitor`; returns whether it succeeded, and its output.
pub(crate) fn monitor(url: &str, arguments: &[&str]) -> (bool, String) {
    Options::on(url).command_line(&[&["monitor"], arguments].concat()).outcome()
}

/// Fails unless a replay agrees to the bit.
pub(crate) fn replayed(url: &str) {
    let (agrees, output) = monitor(url, &["replay"]);
    assert!(agrees && output.contains("everything agrees to the bit"), "{output}");
}
