//! Traces (docs/TRACING.md): trace context in and out, spans at a collector, exemplars, and a collector that
//! is slow or away.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use system_tests::collector::{Collector, attributes};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, skipped, tokens};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

fn options() -> Options {
    Options::on(&postgres::shared().database())
}

fn sending_to(collector: &Collector) -> Options {
    options().set("telemetry.otlp.endpoint", &collector.url).set("telemetry.otlp.interval_ms", &50)
}

fn prediction(server: &Server, seed: u64) -> RequestBuilder {
    server.prediction("").bearer_auth(tokens::token("predict")).body(images::jpeg(seed, true))
}

async fn answered(request: RequestBuilder) -> Response {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer
}

/// Version, trace id, span id and flags.
fn traceparent(answer: &Response) -> [String; 4] {
    let value = answer.headers()["traceparent"].to_str().unwrap();
    let fields: Vec<String> = value.split('-').map(ToOwned::to_owned).collect();
    fields.try_into().unwrap()
}

async fn trace(collector: &Collector, id: &str, n_spans: usize) -> Vec<Span> {
    let complete = async || collector.trace(id).len() >= n_spans;
    system_tests::eventually(10, &format!("not {n_spans} spans of {id}"), complete).await;
    collector.trace(id)
}

async fn metrics(server: &Server, accept: &str) -> (String, String) {
    let page = server.client.get(format!("{}/metrics", server.base)).header("accept", accept);
    let page = page.send().await.unwrap();
    let media = page.headers()["content-type"].to_str().unwrap().to_owned();
    (media, page.text().await.unwrap())
}

/// Asserts that the spans of a prediction lie in one another and took as long as the answer says.
fn assert_phases(spans: &[Span], timings: &Value) {
    let named: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let names = ["admission", "audit", "decode", "infer", "preprocess", "queue", "upload"];
    let expected: BTreeSet<&str> = [&["POST /v1/predictions"][..], &names].concat().into_iter().collect();
    assert_eq!(named.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(spans.len(), expected.len());
    let server = named["POST /v1/predictions"];
    for name in names {
        let (span, parent) = (named[name], if name == "upload" { named["admission"] } else { server });
        assert_eq!(span.parent_span_id, parent.span_id, "{name}");
        assert_eq!(span.kind, i32::from(SpanKind::Internal), "{name}");
        let within = parent.start_time_unix_nano <= span.start_time_unix_nano
            && span.end_time_unix_nano <= parent.end_time_unix_nano;
        assert!(within, "{name}: {span:?} in {parent:?}");
        if let Some(stated) = timings[name].as_f64() {
            let took = length(span) as f64 / 1e6;
            // The answer has whole microseconds.
            assert!((took - stated).abs() < 0.0011, "{name}: {took} {stated}");
        }
    }
    let order = ["admission", "decode", "preprocess", "queue", "infer", "audit"].map(|name| named[name]);
    for pair in order.windows(2) {
        let (ended, began) = (pair[0].end_time_unix_nano, pair[1].start_time_unix_nano);
        assert!(ended <= began + 1000, "{} and {}", pair[0].name, pair[1].name);
    }
    let total = length(server) as f64 / 1e6;
    assert!(total >= timings["total"].as_f64().unwrap(), "{total} {timings}");
}

/// Every text in what a collector got.
fn texts(collector: &Collector) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for resource in collector.requests().into_iter().flat_map(|request| request.resource_spans) {
        let of_resource = resource.resource.unwrap().attributes;
        let mut all: Vec<_> = attributes(&of_resource);
        for scope in resource.scope_spans {
            for span in scope.spans {
                all.extend(attributes(&span.attributes));
                assert!(span.events.is_empty());
                texts.extend([span.name, span.trace_state, span.status.unwrap_or_default().message]);
            }
        }
        texts.extend(all.into_iter().flat_map(|(key, value)| [key, value]));
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prediction_is_a_span_of_the_clients_trace_with_a_span_for_each_phase() {
    let collector = Collector::start().await;
    let server = sending_to(&collector).start_ready().await;
    let (actor, request_id) = ("dr-who-7431", "0b3f4c7e-9a51-4d4e-8f6e-1f2f3c4d5e6f");
    let file = Part::bytes(images::jpeg(1, true)).file_name("MRN-file-9152.jpg");
    let form = Form::new().part("file", file).text("subject", "MRN-subject-5555");
    let request =
        server.prediction("").bearer_auth(tokens::sign_development(&tokens::claims(actor, "predict")));
    let request = request.header("x-request-id", request_id).header("idempotency-key", "key-8642");
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    let request = request.header("tracestate", "hospital=MRN-state-1111").header("tracestate", "ot=th:0");
    let before = SystemTime::now();
    let answer = answered(request.multipart(form)).await;
    let [version, trace_id, span_id, flags] = traceparent(&answer);
    assert_eq!([version.as_str(), &trace_id, &flags], ["00", TRACE, "01"]);
    let answer: Value = answer.json().await.unwrap();

    let spans = trace(&collector, TRACE, 8).await;
    assert_phases(&spans, &answer["timings_ms"]);
    let of_server = spans.iter().find(|span| span.kind == i32::from(SpanKind::Server)).unwrap();
    assert_eq!([&of_server.parent_span_id, &of_server.span_id].map(hex::encode), [PARENT, &span_id]);
    let own = attributes(&of_server.attributes);
    let own: Vec<_> = own.iter().map(|(key, value)| [key.as_str(), value]).collect();
    assert_eq!(
        own,
        [
            ["http.request.method", "POST"],
            ["http.response.status_code", "200"],
            ["http.route", "/v1/predictions"],
        ]
    );
    assert!(spans.iter().all(|span| span.trace_state == "ot=th:0" && span.flags & 1 == 1));
    let started = UNIX_EPOCH + Duration::from_nanos(of_server.start_time_unix_nano);
    assert!((before..SystemTime::now()).contains(&started), "{started:?}");

    // A read of the row: its path holds the id.
    let id = answer["id"].as_str().unwrap();
    let read = server.get(&format!("/v1/predictions/{id}"), "audit:read").await;
    trace(&collector, &traceparent(&read)[1], 1).await;
    let texts = texts(&collector);
    assert!(texts.contains("GET /v1/predictions/{id}") && texts.contains("development"), "{texts:?}");
    let digest = answer["model"]["digest"].as_str().unwrap();
    let row: Value = read.json().await.unwrap();
    let input = row["input_digest"].as_str().unwrap();
    for identifier in [actor, "tester", request_id, "key-8642", "MRN", "hospital", id, digest, input] {
        assert!(!texts.iter().any(|text| text.contains(identifier)), "{identifier}: {texts:?}");
    }
    let line = server.logged(&format!("\"request_id\":\"{request_id}\"")).await.unwrap();
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
    assert_eq!(server.metric("cxr_trace_spans_dropped_total").await, Some(0.0));
    assert!(server.metric("cxr_trace_spans_sent_total").await >= Some(9.0));
}

/// Asserts that promtool accepts a page, if it is installed.
fn assert_accepted(page: &str) {
    let Ok(mut check) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return skipped("no promtool (scripts/setup.sh installs it)");
    };
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}\n{page}", String::from_utf8_lossy(&checked.stderr));
}

/// The series of a page, sorted. The formats write the bounds of buckets differently.
fn series(page: &str) -> Vec<&str> {
    let lines = page.lines().filter(|line| line.starts_with("cxr_"));
    let mut series: Vec<&str> = lines
        .filter_map(|line| match line.split_once("_bucket{") {
            Some((family, _)) => Some(family),
            None => line.rsplit_once(' ').map(|(series, _)| series),
        })
        .collect();
    series.sort_unstable();
    series
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_name_the_sampled_trace_and_are_in_open_metrics_only() {
    let collector = Collector::start().await;
    let server = sending_to(&collector).set("telemetry.otlp.sample_ratio", &0).start_ready().await;
    let of = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
    answered(prediction(&server, 1)).await;
    answered(prediction(&server, 2).header("traceparent", of("00"))).await;
    let (media, page) = metrics(&server, OPEN_METRICS).await;
    assert_eq!(media, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(page.ends_with("# EOF\n") && !page.contains(" # {"), "{page}");
    answered(prediction(&server, 3).header("traceparent", of("01"))).await;
    let (_, page) = metrics(&server, OPEN_METRICS).await;
    let exemplar = format!(" # {{trace_id=\"{TRACE}\"}} ");
    for series in [
        ("cxr_phase_duration_seconds_bucket{", "phase=\"infer\""),
        ("cxr_phase_duration_seconds_bucket{", "phase=\"total\""),
        ("cxr_http_request_duration_seconds_bucket{", "method=\"POST\",route=\"/v1/predictions\""),
    ] {
        let (name, labels) = series;
        let of_series = page.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        let found = of_series.filter(|line| line.contains(&exemplar)).count();
        assert_eq!(found, 1, "{series:?}: {page}");
    }
    assert!(page.contains("# TYPE cxr_predictions counter\n") && page.contains("\ncxr_predictions_total{"));

    let (media, text) = metrics(&server, "*/*").await;
    assert_eq!(media, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("# TYPE cxr_predictions_total counter\n"), "{text}");
    assert!(!text.contains(TRACE) && !text.contains("# EOF"), "{text}");
    assert_accepted(&text);
    assert_eq!(series(&page), series(&text));
    // The answer to a trace that was not sampled says so, and nothing of it is exported.
    let answer = answered(prediction(&server, 4).header("traceparent", of("00"))).await;
    assert_eq!(traceparent(&answer)[1..].iter().step_by(2).collect::<Vec<_>>(), [TRACE, "00"]);
    assert_eq!(trace(&collector, TRACE, 8).await.len(), 8);
    assert_eq!(collector.spans().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_traceparent_starts_a_new_trace() {
    let collector = Collector::start().await;
    let server = sending_to(&collector).start_ready().await;
    let model = || server.client.get(format!("{}/v1/model", server.base)).bearer_auth(tokens::token(""));
    let good = format!("00-{TRACE}-{PARENT}-01");
    let mut seen = BTreeSet::new();
    for malformed in [
        String::new(),
        "MRN-0012345".to_owned(),
        good.to_uppercase(),
        good.replace("00-4", "ff-4"),
        format!("{good}-more"),
        format!("00-{}-{PARENT}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
    ] {
        let answer = answered(model().header("traceparent", &malformed)).await;
        let [_, id, _, flags] = traceparent(&answer);
        assert!(id != TRACE && seen.insert(id.clone()), "{malformed}");
        assert_eq!((id.len(), flags.as_str()), (32, "01"), "{malformed}");
        assert!(trace(&collector, &id, 1).await[0].parent_span_id.is_empty(), "{malformed}");
    }
    let answer = answered(model().header("traceparent", &good).header("traceparent", &good)).await;
    assert_ne!(traceparent(&answer)[1], TRACE);
    // A probe starts no trace; a client may trace it.
    let probe = || server.client.get(format!("{}/livez", server.base));
    assert_eq!(traceparent(&answered(probe()).await)[3], "00");
    assert_eq!(traceparent(&answered(probe().header("traceparent", &good)).await)[3], "01");
    // Refusals are traced as well.
    let refused = server.client.get(format!("{}/v1/model", server.base)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let spans = trace(&collector, &traceparent(&refused)[1], 1).await;
    assert!(attributes(&spans[0].attributes).contains(&("http.response.status_code".into(), "401".into())));
}

fn length(span: &Span) -> u64 {
    span.end_time_unix_nano - span.start_time_unix_nano
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_one_batch_are_linked() {
    let collector = Collector::start().await;
    let options = sending_to(&collector).set("model.batching.max_batch", &8);
    let options = options.set("model.sessions", &1).set("model.alone_threads", &1);
    let server = options.start_ready().await;
    let images: Vec<_> = (0..24).map(|seed| answered(prediction(&server, seed))).collect();
    futures_util::future::join_all(images).await;
    server.eventually(10, "spans are missing", async || collector.spans().len() >= 24 * 8).await;
    let spans = collector.spans();
    let runs: BTreeMap<&[u8], &Span> = spans
        .iter()
        .filter(|span| span.name == "infer")
        .map(|span| (span.span_id.as_slice(), span))
        .collect();
    let mut n_batched = 0;
    for run in runs.values() {
        let size: usize = attributes(&run.attributes)[0].1.parse().unwrap();
        assert!(size == 1 || !run.links.is_empty(), "{run:?}");
        assert!(run.links.len() < size, "{run:?}");
        for link in &run.links {
            let other = runs[link.span_id.as_slice()];
            assert_eq!(other.trace_id, link.trace_id);
            // The same run, on the clocks of two requests.
            assert_eq!(length(other), length(run));
            assert!(other.start_time_unix_nano.abs_diff(run.start_time_unix_nano) < 50_000_000);
            assert!(other.links.iter().any(|back| back.span_id == run.span_id), "{other:?}");
        }
        n_batched += usize::from(size > 1);
    }
    assert!(n_batched > 0, "no batch had two images, so this tests nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_sent_but_the_trace_is_returned_and_logged() {
    let collector = Collector::start().await;
    // What OpenTelemetry's own exporters would read.
    let server = options().variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url).start_ready().await;
    let traced = prediction(&server, 1).header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(traceparent(&answered(traced).await)[1], TRACE);
    assert_eq!(traceparent(&answered(prediction(&server, 2)).await)[3], "00");
    assert!(server.logged(&format!("\"trace_id\":\"{TRACE}\"")).await.is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(collector.n_connections(), 0);
    assert_eq!(server.metric("cxr_trace_spans_sent_total").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_end() {
    let collector = Collector::start().await;
    let mut server = sending_to(&collector).set("telemetry.otlp.interval_ms", &60_000).start_ready().await;
    let [_, id, ..] = traceparent(&answered(prediction(&server, 1)).await);
    assert_eq!(collector.spans().len(), 0);
    server.signal("TERM");
    assert!(server.wait().await.success());
    assert_eq!(collector.trace(&id).len(), 8);
}

/// With a collector that does not take the spans: answers, counts, and ends in time.
async fn works_without_spans(options: Options) {
    let options =
        options.set("telemetry.otlp.timeout_ms", &1500).set("telemetry.otlp.max_queued_spans", &512);
    let mut server = options.start_ready().await;
    let model = || server.client.get(format!("{}/v1/model", server.base)).bearer_auth(tokens::token(""));
    let begun = Instant::now();
    while server.metric("cxr_trace_spans_dropped_total").await.unwrap() < 512.0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "no spans are dropped");
        let asked = Instant::now();
        futures_util::future::join_all((0..100).map(|_| answered(model()))).await;
        answered(prediction(&server, 1)).await;
        assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    }
    let lines = || server.log().matches("the trace collector takes no spans").count();
    server.eventually(10, "it is not logged", async || lines() > 0).await;
    assert_eq!(lines(), 1);
    assert_eq!(server.metric("cxr_trace_spans_sent_total").await, Some(0.0));
    answered(prediction(&server, 2)).await;
    let signalled = Instant::now();
    server.signal("TERM");
    assert!(server.wait().await.success());
    assert!(signalled.elapsed() < Duration::from_millis(2500), "{:?}", signalled.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_collector_delays_neither_answers_nor_the_end() {
    let collector = Collector::stalled().await;
    works_without_spans(sending_to(&collector)).await;
    assert!(collector.n_connections() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_delays_neither_answers_nor_the_end() {
    let address = Collector::start().await.url.clone();
    let options = options().set("telemetry.otlp.endpoint", &address);
    works_without_spans(options.set("telemetry.otlp.interval_ms", &50)).await;
}
