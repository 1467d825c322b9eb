"""The dashboard Service: objectives, requests, phases, the queue, commits, the audit tree and the model."""

from generate import PREDICTIONS, SITE, lines, number, page, row, rows


def per_second(metric, by, more="", range_="$__rate_interval"):
    return f"sum by ({by}) (rate({metric}{{{SITE}{', ' + more if more else ''}}}[{range_}]))"


def quantile(q, metric, by="", more=""):
    buckets = per_second(f"{metric}_bucket", "le" + (", " + by if by else ""), more)
    # Without events the quantile of empty buckets is NaN: the comparison leaves it out.
    return f"histogram_quantile({q}, {buckets}) >= 0"


def dashboard():
    board = page("cxr-service", "Service", "Whether clients get their answers, how fast, and what limits them.",
                 "service.md", with_model=False)
    add = board.with_panel
    board.with_row(row("Objectives of predictions: 99.5 % answered, 99 % of the answers within 0.5 s, over 30 days"))
    states = {"0": "not ready", "1": "ready"}
    add(number("Replicas ready", "none", "cxr_ready.", f"sum by (site) (cxr_ready{{{SITE}}})", good=1))
    add(number("Replicas scraped", "none", "up.", f'sum by (site) (up{{job="cxr", {SITE}}})', good=1))
    add(number("Failed, 1 hour", "percentunit", "Above 7.2 % it pages. The budget is 0.5 %.",
               f"site:cxr_predictions_failed:ratio1h{{{SITE}}}", bad=0.005))
    add(number("Failed, 3 days", "percentunit", "Above the budget of 0.5 % it is a ticket.",
               f"site:cxr_predictions_failed:ratio3d{{{SITE}}}", bad=0.005))
    add(number("Slow, 1 hour", "percentunit", "Above 14.4 % it pages. The budget is 1 %.",
               f"site:cxr_predictions_slow:ratio1h{{{SITE}}}", bad=0.01))
    add(number("Slow, 3 days", "percentunit", "Above the budget of 1 % it is a ticket.",
               f"site:cxr_predictions_slow:ratio3d{{{SITE}}}", bad=0.01))
    add(lines("Burn of the budget of failures", "none", "1 spends the budget in 30 days. 14.4 and 6 page.",
              *[(f"site:cxr_predictions_failed:ratio{w}{{{SITE}}} / 0.005", "{{site}} " + w) for w in ("5m", "30m", "1h", "6h", "3d")], span=12))
    add(lines("Burn of the budget of slow answers", "none", "1 spends the budget in 30 days. 14.4 and 6 page.",
              *[(f"site:cxr_predictions_slow:ratio{w}{{{SITE}}} / 0.01", "{{site}} " + w) for w in ("5m", "30m", "1h", "6h", "3d")], span=12))
    add(lines("Events behind the ratios, 1 hour", "none", "An alert also needs 5 failures, or 10 slow answers.",
              (f"site:cxr_predictions_answered:increase1h{{{SITE}}}", "{{site}} answered"),
              (f"site:cxr_predictions_failed:increase1h{{{SITE}}}", "{{site}} failed"),
              (f"site:cxr_predictions_slow:increase1h{{{SITE}}}", "{{site}} slow")))
    add(rows("Readiness by replica", "none", "1 is ready.", (f"cxr_ready{{{SITE}}}", ""), span=8))
    add(rows("Version of the program", "none", "cxr_build_info.", (f"cxr_build_info{{{SITE}}}", ""), span=8))

    board.with_row(row("Requests"))
    add(lines("Requests by route", "reqps", "Rate.", (per_second("cxr_http_requests_total", "route, method"), "{{method}} {{route}}")))
    add(lines("Answers by status", "reqps", "POST /v1/predictions.", (per_second("cxr_http_requests_total", "status", PREDICTIONS), "{{status}}")))
    add(lines("99th percentile by route", "s", "From request head to response head.",
              (quantile(0.99, "cxr_http_request_duration_seconds", "route, method"), "{{method}} {{route}}")))
    add(lines("Decisions", "reqps", "Predictions answered.", (per_second("cxr_predictions_total", "decision"), "{{decision}}")))
    add(lines("Refused before admission", "reqps", "No audit row.", (per_second("cxr_refusals_total", "cause"), "{{cause}}")))
    add(lines("Rejected and dropped", "reqps", "Each has an audit row.", (per_second("cxr_rejections_total", "reason"), "{{reason}}"),
              (per_second("cxr_dropped_total", "cause"), "{{cause}}")))
    add(lines("Connections", "none", "Open.", (f"sum by (instance) (cxr_connections{{{SITE}}})", "{{instance}}")))
    add(lines("Connections closed by the service", "none", "Per second.", (per_second("cxr_connections_ended_total", "cause"), "{{cause}}")))
    add(lines("Retries", "reqps", "Replayed answers, and answers that were changed in the database.",
              (per_second("cxr_repeated_answers_total", "site"), "replayed"), (per_second("cxr_changed_answers_total", "site"), "changed")))

    board.with_row(row("Phases and load"))
    add(lines("Median by phase", "s", "Of one prediction.", (quantile(0.5, "cxr_phase_duration_seconds", "phase"), "{{phase}}")))
    add(lines("99th percentile by phase", "s", "Of one prediction.", (quantile(0.99, "cxr_phase_duration_seconds", "phase"), "{{phase}}")))
    add(lines("In flight and waiting", "none", "Admitted without an answer; images that wait for a session.",
              (f"sum by (instance) (cxr_in_flight{{{SITE}}})", "in flight {{instance}}"),
              (f"sum by (instance) (cxr_model_waiting{{{SITE}}})", "waiting {{instance}}")))
    add(lines("Images per batch", "none", "99th percentile.", (quantile(0.99, "cxr_batch_size"), "99 %"), (quantile(0.5, "cxr_batch_size"), "50 %")))
    add(lines("Memory", "bytes", "Resident.", (f"process_resident_memory_bytes{{job=\"cxr\", {SITE}}}", "{{instance}}")))
    add(lines("Processors", "none", "Processor seconds per second, and threads.",
              (f"rate(process_cpu_seconds_total{{job=\"cxr\", {SITE}}}[$__rate_interval])", "{{instance}}"),
              (f"process_threads{{job=\"cxr\", {SITE}}}", "threads {{instance}}")))
    add(lines("File descriptors", "percentunit", "Share of the limit; a ticket at 80 %.",
              (f"process_open_fds{{job=\"cxr\", {SITE}}} / process_max_fds{{job=\"cxr\", {SITE}}}", "{{instance}}")))
    add(lines("Log lines dropped", "none", "Per second.", (per_second("cxr_log_lines_dropped_total", "instance"), "{{instance}}")))
    add(lines("Time since start", "s", "Drops to 0 with a restart.", (f"time() - process_start_time_seconds{{job=\"cxr\", {SITE}}}", "{{instance}}")))

    board.with_row(row("Database and audit tree"))
    add(number("Tree", "none", "Whether the tree continues its checkpoint.", f"max by (site) (cxr_audit_tree_broken{{{SITE}}})",
               bad=1, states={"0": "continues", "1": "broken"}))
    add(number("Foreign leaves", "none", "Not written by this service.", f"max by (site) (cxr_audit_foreign_leaves{{{SITE}}})", bad=1))
    add(number("Leaders that sequence", "none", "Exactly 1.", f"sum by (site) (cxr_audit_sequencing{{{SITE}}})", good=1))
    add(number("Leaves without an anchor", "none", "In the leader. Falls to 0 with each checkpoint.",
               f"max by (site) ((cxr_audit_tree_size{{{SITE}}} - cxr_audit_tree_anchored_size{{{SITE}}}) and cxr_audit_sequencing == 1)"))
    add(number("Answers withheld, 1 day", "none", "Their audit row could not be committed.", f"sum by (site) (increase(cxr_audit_failures_total{{{SITE}}}[1d]))", bad=1))
    add(number("Age of the anchor", "s", "Grows on an idle service: it is written only when the tree has grown.",
               f"min by (site) (time() - (cxr_audit_anchor_written_timestamp_seconds{{{SITE}}} > 0))"))
    add(lines("Sequenced after", "s", "Age of the oldest row of a step.", (quantile(0.99, "cxr_audit_sequenced_after_seconds"), "99 %"),
              (quantile(0.5, "cxr_audit_sequenced_after_seconds"), "50 %")))
    add(lines("Rows per commit", "none", "", (quantile(0.99, "cxr_audit_commit_rows"), "99 %"), (quantile(0.5, "cxr_audit_commit_rows"), "50 %")))
    add(lines("Database connections", "none", "Open by pool and state, and requests that wait for one.",
              (f"sum by (pool, state) (cxr_database_connections{{{SITE}}})", "{{pool}} {{state}}"),
              (f"sum by (pool) (cxr_database_connections_awaited{{{SITE}}})", "{{pool}} awaited")))
    add(lines("Clock ahead of the database", "s", "Not ready beyond 30 s.", (f"cxr_database_clock_difference_seconds{{{SITE}}}", "{{instance}}"), low=None))

    board.with_row(row("Model"))
    add(rows("Model by replica", "none", "cxr_model_info.", (f"cxr_model_info{{{SITE}}}", "")))
    add(number("Out of service", "none", "Whether the model only refers.", f"max by (site) (cxr_model_advisory{{{SITE}}})", bad=1,
               states={"0": "serving", "1": "advisory"}))
    add(lines("Reloads", "none", "In an hour, by result.", (f"sum by (result) (increase(cxr_model_reloads_total{{{SITE}}}[1h]))", "{{result}}")))
    add(lines("Graph nodes by execution provider", "none", "", (f"sum by (instance, provider) (cxr_execution_nodes{{{SITE}}})", "{{instance}} {{provider}}")))
    add(lines("Candidate", "reqps", "Predictions offered to the candidate (model.shadow), by result.", (per_second("cxr_shadow_total", "result"), "{{result}}")))
    return board
