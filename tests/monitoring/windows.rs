//! Windows add up to the log, a replay finds what was changed, and labels have an order without gaps.

use crate::bulk::{Bulk, insert, monitor, read, replayed, replica};
use system_tests::eventually;
use system_tests::log::number;
use system_tests::postgres::{psql, shared};

#[tokio::test(flavor = "multi_thread")]
async fn windows_add_up_to_the_log_and_a_replay_finds_a_changed_one() {
    let url = shared().database();
    insert(&url, &Bulk { n: 3000, from: "now() - interval '5 days'", every_s: 60, shift: 0.0 });
    // A day without traffic.
    insert(&url, &Bulk { n: 1000, from: "now() - interval '1 day'", every_s: 60, shift: 0.0 });
    let server = replica(&url).start_ready().await;
    read(&url, 4000, 20).await;
    let first_hours = "from predictions where received_at < (select max(starts) + interval '1 hour' from monitoring_windows where span = 'hour')";
    assert_eq!(
        number(&url, "select sum(n_rows) from monitoring_windows where span = 'hour' and stream_id = 0"),
        number(&url, &format!("select count(*) {first_hours}"))
    );
    let predicted = "select sum((counts->>'n_predicted')::int) from monitoring_windows where span = 'hour' and stream_id = 1";
    assert_eq!(
        number(&url, predicted),
        number(&url, &format!("select count(*) {first_hours} and outcome = 'predicted'"))
    );
    let closed_days = "with days as (select distinct date_trunc('day', received_at at time zone 'UTC') as day from predictions)
        select count(*) from days where day + interval '25 hours 5 minutes' <= (select max(received_at) at time zone 'UTC' from predictions)";
    assert_eq!(
        number(&url, "select count(*) from monitoring_windows where span = 'day' and stream_id = 0"),
        number(&url, closed_days)
    );
    // Images and the model, each for all images and for two views.
    assert_eq!(number(&url, "select count(*) from monitoring_streams"), 6);
    let shown = async || {
        number(&url, "select count(*) from monitoring_results where (snapshot->>'next_leaf')::int = 4000")
            == 1
    };
    server.eventually(10, "no results", shown).await;
    assert_eq!(
        number(&url, "select snapshot->'streams'->0->'counts'->>'n_predicted' from monitoring_results"),
        number(&url, "select count(*) from predictions where outcome = 'predicted'")
    );
    let metrics =
        server.client.get(format!("{}/metrics", server.base)).send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("NaN"), "{metrics}");
    replayed(&url);
    psql(&url, "set session_replication_role = replica; alter table monitoring_windows disable trigger all;
        update monitoring_windows set content = content || '\\x00' where span = 'day' and stream_id = 0 and revision = 0").unwrap();
    let (agrees, output) = monitor(&url, &["replay"]);
    let differences = format!("{} differences", number(&url, closed_days));
    assert!(!agrees && output.contains("stream 0, day of") && output.contains(&differences), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_read_once_each_in_an_order_without_gaps() {
    let url = shared().database();
    insert(&url, &Bulk { n: 500, from: "now() - interval '1 day'", every_s: 60, shift: 0.0 });
    let server = replica(&url).start_ready().await;
    read(&url, 500, 20).await;
    let label = |label: &str, at: &str, rows: &str| {
        psql(&url, &format!("insert into labels (id, prediction_id, label, source, labelled_at, request_id, actor)
            select gen_random_uuid(), prediction_id, '{label}', 'radiologist', {at}, 'bulk', 'reader' from audit_leaves where {rows}")).unwrap();
    };
    label("positive", "'1895-11-08'", "leaf_index < 100");
    let numbered = async |n| number(&url, "select next_label from monitoring_cursor") == n;
    eventually(10, "the labels are not read", async || numbered(100).await).await;
    // Corrections, and a label of an image that is not in the tree.
    label("negative", "now()", "leaf_index < 50");
    psql(
        &url,
        "insert into labels (id, prediction_id, label, source, labelled_at, request_id, actor)
        values (gen_random_uuid(), gen_random_uuid(), 'positive', 'radiologist', now(), 'bulk', 'reader')",
    )
    .unwrap_or_default();
    eventually(10, "the corrections are not read", async || numbered(150).await).await;
    assert_eq!(
        number(&url, "select count(distinct position) + max(position) + 1 from monitoring_labels"),
        300
    );
    let corrected = async || {
        let labelled = "select coalesce(max((stream->'labels'->>'n_positive')::int + (stream->'labels'->>'n_negative')::int), 0)
            from monitoring_results, jsonb_array_elements(snapshot->'streams') as stream where stream->'stream'->>'slice' = 'all'";
        number(&url, labelled)
            == number(
                &url,
                "select count(*) from predictions join audit_leaves on prediction_id = id
            where leaf_index < 100 and outcome = 'predicted'",
            )
    };
    server.eventually(10, "an image counts once", corrected).await;
    replayed(&url);
}
