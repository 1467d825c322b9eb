#!/usr/bin/env python3
"""Measures the latency of the audit log's search by filter, on a log of many rows.

Fills a private Postgres with rows over twelve months, starts the service on it, requests pages over HTTP, and
writes search.json and search.md: the median and the 95th percentile of each filter, and its query plan
(auto_explain). Needs target/release/cxr-service (cargo build --release --bins) and ORT_DYLIB_PATH.

Example: ORT_DYLIB_PATH=$(scripts/onnxruntime.sh) loadtest/search.py --rows 5000000 --out target/bench/search
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICE = ROOT / "target/release/cxr-service"
CHUNK = 250_000

# Rows over twelve months: 1 in 1,000 is rejected, 1 in 10,000 expired. One actor has 1 in 200 rows, another
# 50 rows in all. Three models follow each other. A subject has about ten images. 1 row in 50 has a label.
FILL = """
INSERT INTO predictions (id, request_id, received_at, actor, site, subject, encoding_version, outcome, reason, input_digest, input_bytes,
    format, width, height, significant_bits, colour, age_years, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution, policy_digest, logit, probability, confidence, threshold,
    decision, review_required, decision_reason, ood_score, embedding_coordinates, cam, cam_width, cam_height, timings)
SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8000'
        || lpad(to_hex(n), 12, '0'))::uuid,
    gen_random_uuid()::text, moment, CASE WHEN n % (%(rows)s / 50) = 7 THEN 'rare-actor' ELSE 'pacs-' || n % 200 END, 'site',
    sha256(('s' || n / 10)::bytea), 3, outcome, CASE outcome WHEN 'rejected' THEN 'blank' WHEN 'expired' THEN 'deadline_exceeded' END,
    sha256(n::text::bytea), 6400, 'jpeg', 1024, 1024, 8, 'grey', 6, 1, '{"mean": 0.5}',
    CASE WHEN outcome <> 'rejected' THEN 'cxr-pneumonia' END, CASE WHEN outcome <> 'rejected' THEN '1.' || n * 3 / %(rows)s || '.0' END,
    CASE WHEN outcome <> 'rejected' THEN repeat(to_hex(n * 3 / %(rows)s), 64) END, CASE WHEN outcome <> 'rejected' THEN 'fp32' END,
    CASE WHEN outcome <> 'rejected' THEN '{"provider": "CPUExecutionProvider"}'::jsonb END,
    CASE WHEN p THEN repeat('0', 64) END, CASE WHEN p THEN 0.0 END, CASE WHEN p THEN share END, CASE WHEN p THEN 0.9 END,
    CASE WHEN p THEN 0.5 END, CASE WHEN p THEN CASE WHEN share >= 0.5 THEN 'positive' ELSE 'negative' END END,
    CASE WHEN p THEN share >= 0.4 END,
    CASE WHEN p THEN CASE WHEN n % 20000 = 3 THEN 'outside_intended_use' WHEN share >= 0.5 THEN 'above_threshold' ELSE 'below_threshold' END END,
    CASE WHEN p THEN 1.0 END, CASE WHEN p THEN array_fill(0.25::real, ARRAY[32]) END, CASE WHEN p THEN array_fill(0.5::real, ARRAY[49]) END,
    CASE WHEN p THEN 7 END, CASE WHEN p THEN 7 END, '{}'
FROM (SELECT n, share, moment, outcome, outcome = 'predicted' AS p FROM (
    SELECT n, (n * 7919 %% 1000) / 1000.0 AS share,
        now() - interval '360 days' + n * (interval '360 days' / %(rows)s) AS moment,
        CASE WHEN n % 1000 = 1 THEN 'rejected' WHEN n % 10000 = 2 THEN 'expired' ELSE 'predicted' END AS outcome
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS numbered) AS made
"""

MONTHS = """
DO $$ DECLARE month timestamp := date_trunc('month', (now() - interval '360 days') AT TIME ZONE 'UTC'); name text; BEGIN
    WHILE month < date_trunc('month', now() AT TIME ZONE 'UTC') LOOP
        name := 'predictions_' || to_char(month, 'YYYY_MM');
        EXECUTE format('CREATE TABLE %I PARTITION OF predictions FOR VALUES FROM (%L) TO (%L)', name,
            first_id(month AT TIME ZONE 'UTC'), first_id((month + interval '1 month') AT TIME ZONE 'UTC'));
        INSERT INTO predictions_months VALUES (name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        month := month + interval '1 month';
    END LOOP; END $$
"""

LABELS = """
INSERT INTO labels (id, prediction_id, label, source, labelled_at, request_id, actor)
SELECT gen_random_uuid(), id, CASE WHEN random() < 0.02 THEN 'negative' ELSE 'positive' END, 'report', received_at + interval '1 day',
    gen_random_uuid()::text, 'ris'
FROM predictions WHERE review_required AND random() < 0.03
"""


def psql(url, sql):
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", url], input=sql, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"psql: {done.stderr}")
    return done.stdout.strip()


def fill(url, rows):
    psql(url, MONTHS)
    for first in range(0, rows, CHUNK):
        last = min(first + CHUNK, rows) - 1
        sql = FILL.replace("%%", "\0").replace("%(rows)s", str(rows)).replace("%(first)s", str(first))
        psql(url, sql.replace("%(last)s", str(last)).replace("\0", "%"))
        print(f"{last + 1} of {rows} rows", file=sys.stderr)
    psql(url, LABELS)
    print("vacuum", file=sys.stderr)
    psql(url, "VACUUM (ANALYZE) predictions; VACUUM (ANALYZE) labels")


def prepare(url):
    """Migrates the database. Returns the environment of the service and the token of an auditor."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CXR_SERVICE__")}
    environment |= {
        "CXR_PROFILE": "development",
        "CXR_SERVICE__DATABASE__URL": url,
        "CXR_SERVICE__HTTP__BIND": "127.0.0.1:0",
        "CXR_SERVICE__TELEMETRY__LOG_FORMAT": "json",
    }
    run = lambda *arguments: subprocess.run([SERVICE, *arguments], env=environment, check=True, capture_output=True, text=True).stdout.strip()
    run("migrate")
    token = run("dev-token", "--subject", "auditor", "--scope", "audit:read", "--ttl", "12h")
    return environment, token


def serve(environment, log):
    """Starts a service that logs to the file `log`, and returns it with its port."""
    with log.open("w") as file:
        service = subprocess.Popen([SERVICE, "serve"], env=environment, stdout=file, stderr=file)
    return service, address(log)


def address(path):
    for _ in range(300):
        found = re.search(r'"address":"127\.0\.0\.1:(\d+)"', path.read_text())
        if found:
            return int(found.group(1))
        time.sleep(0.1)
    sys.exit(f"the service does not listen; see {path}")


def measure(port, token, queries, n):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    figures = {}
    for name, query in queries.items():
        times, n_rows = [], 0
        for _ in range(n):
            begun = time.perf_counter()
            connection.request("GET", f"/v1/predictions?{query}", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            body = answer.read()
            times.append((time.perf_counter() - begun) * 1e3)
            if answer.status != 200:
                sys.exit(f"{query}: {answer.status} {body[:300]}")
            n_rows = len(json.loads(body)["items"])
        times.sort()
        figures[name] = {"query": query, "rows": n_rows, "p50_ms": statistics.median(times), "p95_ms": times[int(0.95 * (n - 1))], "n": n}
        print(f"{name}: {n_rows} rows, p50 {figures[name]['p50_ms']:.1f} ms, p95 {figures[name]['p95_ms']:.1f} ms", file=sys.stderr)
    return figures


def plans(url, log, port, token, queries):
    """The plan of each query from auto_explain."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found = {}
    for name, query in queries.items():
        before = log.stat().st_size
        connection.request("GET", f"/v1/predictions?{query}", headers={"Authorization": f"Bearer {token}"})
        connection.getresponse().read()
        time.sleep(0.2)
        text = log.read_text()[before:]
        plan = re.search(r"plan:\s*\n(.*?FROM predictions.*?)(?=\n\d{4}-\d\d-\d\d|\Z)", text, re.S)
        found[name] = plan.group(1) if plan else ""
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="number of rows")
    parser.add_argument("--requests", type=int, default=100, help="requests per filter")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/bench/search")
    arguments = parser.parse_args()
    if "ORT_DYLIB_PATH" not in os.environ:
        sys.exit("ORT_DYLIB_PATH is not set: scripts/onnxruntime.sh prints it")
    arguments.out.mkdir(parents=True, exist_ok=True)
    folder = f"/tmp/cxr-search-{os.getpid()}"
    script = ROOT / "scripts/private-postgres.sh"
    admin = subprocess.run([script, "start", folder, "--fast"], check=True, capture_output=True, text=True).stdout.strip()
    service = None
    try:
        psql(admin, "create database search")
        url = admin.replace("/postgres?", "/search?")
        log = arguments.out / "service.log"
        environment, token = prepare(url)
        fill(url, arguments.rows)
        service, port = serve(environment, log)
        one = json.loads(psql(url, "select row_to_json(p) from (select id, request_id, encode(input_digest, 'hex') as digest, received_at from predictions order by id desc offset 5000 limit 1) p"))
        moment = psql(url, "select to_char(now() - interval '200 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        week = psql(url, "select to_char(now() - interval '207 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        queries = {
            "newest": "",
            "a page far back": f"cursor={psql(url, 'select first_id(now() - interval $$300 days$$)')}",
            "time": f"to={moment}",
            "a week": f"from={week}&to={moment}",
            "actor of 1 in 200": "actor=pacs-17",
            "actor with 50 rows": "actor=rare-actor",
            "unknown actor": "actor=unknown",
            "oldest model": "model_version=1.0.0",
            "unknown model": "model_version=9.9.9",
            "unknown bundle": f"bundle_digest={'f' * 64}",
            "decision": "decision=positive",
            "common reason": "reason=above_threshold",
            "rare reason": "reason=outside_intended_use",
            "reason and decision": "reason=outside_intended_use&decision=positive",
            "rejected": "outcome=rejected",
            "failed (none)": "outcome=failed",
            "label": "label=positive",
            "rare label": "label=negative",
            "worklist": "unreviewed=true",
            "input digest": f"input_digest={one['digest']}",
            "request": f"request_id={one['request_id']}",
            "actor, model and reason": "actor=pacs-17&model_version=1.0.0&reason=below_threshold",
        }
        figures = measure(port, token, queries, arguments.requests)
        psql(url, "alter database search set session_preload_libraries = 'auto_explain'; alter database search set auto_explain.log_min_duration = 0;"
             "alter database search set auto_explain.log_analyze = on; alter database search set auto_explain.log_buffers = on")
        service.terminate()
        service.wait()
        service, port = serve(environment, log)
        explained = plans(url, pathlib.Path(folder) / "data/log", port, token, queries)
        size = psql(url, "select pg_size_pretty(sum(pg_total_relation_size(inhrelid))) from pg_inherits where inhparent = 'predictions'::regclass")
    finally:
        if service:
            service.terminate()
            service.wait()
        subprocess.run([script, "stop", folder], check=False)
    result = {"rows": arguments.rows, "size": size, "figures": figures}
    (arguments.out / "search.json").write_text(json.dumps(result, indent=2))
    lines = [f"{arguments.rows} rows, {size} with indexes; {arguments.requests} requests of each filter.", "", "| filter | rows | p50 ms | p95 ms |", "|---|--:|--:|--:|"]
    lines += [f"| {name} | {f['rows']} | {f['p50_ms']:.1f} | {f['p95_ms']:.1f} |" for name, f in figures.items()]
    for name, plan in explained.items():
        lines += ["", f"### {name}", "", "```", plan, "```"]
    (arguments.out / "search.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[:4 + len(figures)]))


if __name__ == "__main__":
    main()
