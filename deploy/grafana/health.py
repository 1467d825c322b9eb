"""The dashboards Model health and Incident."""

from generate import OF_STREAM, STREAM, best, lines, note, number, page, row, rows

OF = "{{slice}} {{version}} {{variant}}"
STATUS = {"ok": "ok", "insufficient": "too few images", "withheld": "withheld"}


def bounds(metric, more="", by="", legend=OF):
    """Value and interval of a figure."""
    return [(best(metric, f'bound="{bound}"' + (", " + more if more else ""), by), f"{legend} {word}")
            for bound, word in [("value", ""), ("low", "low"), ("high", "high")]]


def performance(add, figure):
    of = f'figure="{figure}"'
    add(lines(f"{figure.capitalize()}: estimated", "percentunit", "Without labels, with its 95 % interval. Absent while withheld.",
              *bounds("cxr_estimated_performance", of)))
    add(lines(f"{figure.capitalize()}: by labels", "percentunit", "Weighted, with its 95 % interval, and the limit.",
              *bounds("cxr_realised_performance", of), (best("cxr_performance_limit", of), "limit")))


def health():
    board = page("cxr-model-health", "Model health", "Whether the model still works on this site's images, and what says so.",
                 "monitoring.md", with_model=True)
    add = board.with_panel
    board.with_row(row("Verdict"))
    add(number("Estimate", "none", "Performance without labels: whether it may be published.",
               f'{best("cxr_estimate_status", "", "status")} == 1', "{{status}} " + OF, span=4))
    add(number("Drift", "none", "Groups of quantities in alarm.", f"sum by ({STREAM}) ({best('cxr_drift_alarm', '', 'group')})", OF, bad=1))
    add(number("Detectors by labels", "none", "Prevalence, calibration, misses and false positives in alarm.",
               f"sum by ({STREAM}) ({best('cxr_detector_alarm', '', 'detector')})", OF, bad=1))
    add(number("Unresolved alarms", "none", "", "sum(max by (site, version, variant, slice, detector, severity, state) "
               f"(cxr_monitoring_alarms{{{OF_STREAM}}})) or vector(0)", "alarms", bad=1))
    add(number("Last step of monitoring", "s", "Pages above 300 s.", 'time() - max by (site) (cxr_monitoring_step_timestamp_seconds{site=~"$site"})', bad=300))
    add(number("Rows behind", "none", "Pages above 2,000 for 15 minutes.", 'max by (site) (cxr_monitoring_rows_behind{site=~"$site"})', bad=2000))

    board.with_row(row("Estimated against realised"))
    performance(add, "sensitivity")
    add(lines("Worst case while withheld", "percentunit", "If every image out of distribution was answered wrongly.",
              (best("cxr_estimated_worst_case", "", "figure"), "{{figure}} " + OF)))
    performance(add, "specificity")
    add(lines("Status by labels", "none", "1 for the status that holds.", (best("cxr_realised_status", "", "status"), "{{status}} " + OF)))
    add(rows("Figures by labels", "percentunit", "Every figure with its interval.",
             (best("cxr_realised_performance", "", "figure, bound"), ""), span=12))
    add(rows("Figures estimated", "percentunit", "Every figure with its interval.",
             (best("cxr_estimated_performance", "", "figure, bound"), ""), span=12))

    board.with_row(row("Calibration and labels"))
    add(lines("Expected calibration error", "none", "l2 norm, with an interval that covers.", *bounds("cxr_calibration_error")))
    add(lines("Label minus probability", "none", "Above 0 the probabilities are too low.", *bounds("cxr_calibration_bias"), low=None))
    add(lines("Status of the calibration", "none", "1 for the status that holds.", (best("cxr_calibration_status", "", "status"), "{{status}} " + OF)))
    add(lines("Images with a label", "none", "By class.", (best("cxr_labelled_images", "", "class"), "{{class}} " + OF)))
    add(lines("Label coverage", "percentunit", "Share of images with a label.", (best("cxr_label_coverage"), OF)))
    add(lines("Label delay", "s", "Median time to the first label.", (best("cxr_label_delay_seconds"), OF)))
    add(lines("Review sample without a label", "none", "", (best("cxr_review_sample_unread"), OF)))
    add(lines("Age of the oldest of them", "s", "A ticket above 7 days.", (f"time() - {best('cxr_review_sample_oldest_timestamp_seconds')}", OF)))
    add(lines("Prevalence", "percentunit", "Estimated share of positives, and the baseline's.", *bounds("cxr_prevalence"),
              (best("cxr_prevalence_baseline"), "baseline")))

    board.with_row(row("Drift"))
    share = "{0} / on ({1}, {2}) (max by ({1}, {2}) ({3}{{{4}}}) > 0)"
    add(lines("Evidence against threshold, drift", "percentunit", "An alarm at 100 %.",
              (share.format(best("cxr_drift_evidence", "", "group"), STREAM, "group", "cxr_drift_threshold", OF_STREAM), "{{group}} " + OF), powers=True))
    add(lines("Evidence against threshold, other detectors", "percentunit", "An alarm at 100 %.",
              (share.format(best("cxr_detector_evidence", "", "detector"), STREAM, "detector", "cxr_detector_threshold", OF_STREAM), "{{detector}} " + OF), powers=True))
    add(rows("Armed detectors", "none", "0: the simulation measured more false alarms than stated.",
             (best("cxr_drift_armed", "", "group"), ""), (best("cxr_detector_armed", "", "detector"), ""), span=8))
    add(lines("Quantities that moved most", "none", "Mean of 2p - 1: 0 without drift, 1 if every image lies above the baseline.",
              (f"topk(8, abs({best('cxr_drift_shift', '', 'quantity')}))", "{{quantity}}"), span=12))
    add(lines("Out of distribution", "percentunit", "Share above the baseline's 99th percentile. The estimate is withheld above 3 times the baseline's share.",
              *bounds("cxr_ood_share"), (f"3 * {best('cxr_ood_baseline_share')}", "limit"), span=12))
    add(lines("Images", "none", "In the audit log, by outcome.", (best("cxr_images", "", "outcome"), "{{outcome}} " + OF)))
    add(lines("Rejected images", "none", "In the audit log, by reason.", (best("cxr_images_rejected", "", "reason"), "{{reason}}")))
    add(lines("Candidate against the model", "none", "99th percentile of the difference of their probabilities.",
              ('histogram_quantile(0.99, sum by (le) (rate(cxr_shadow_probability_difference_bucket{site=~"$site"}[$__rate_interval]))) >= 0 or on () vector(0)', "99 %")))
    return board


def incident():
    board = page("cxr-incident", "Incident", "What is wrong now, since when, and who has taken it.", "monitoring.md", with_model=True)
    add = board.with_panel
    board.with_row(row("Alarms of monitoring"))
    alarms = "sum by (state) (max by (site, version, variant, slice, detector, severity, state) (cxr_monitoring_alarms{{{0}, state=\"{1}\"}})) or on () vector(0)"
    for state, bad in (("open", 1), ("acknowledged", None), ("escalated", 1)):
        add(number(state.capitalize(), "none", "Unresolved alarms in this state.", alarms.format(OF_STREAM, state), state, bad=bad))
    add(number("Model", "none", "Whether the model only refers.", 'max by (site) (cxr_model_advisory{site=~"$site"})', bad=1,
               states={"0": "serving", "1": "advisory"}))
    add(number("Last image", "s", "Time since the newest row that monitoring has read.",
               'time() - (max by (site) (cxr_monitoring_last_row_timestamp_seconds{site=~"$site"}) > 0)'))
    add(number("Streams", "none", "Monitored, of at most 50.", 'max by (site) (cxr_monitoring_streams{site=~"$site"})', bad=50))
    add(rows("Alarms by detector", "none", "Detectors with their severity and state.",
             (best("cxr_monitoring_alarms", "", "detector, severity, state"), "")))
    add(rows("Alerts", "none", "What Prometheus has raised. The watchdog is always among them.",
             ('ALERTS{alertstate="firing", site=~"$site|"}', "")))
    add(note("What to do", "`GET /v1/monitoring/alarms` names the estimated begin of each change, the quantities that moved most, and the id.\n\n"
             "`POST /v1/monitoring/alarms/{id}/acknowledge` takes it. `POST /v1/model/state` with `advisory` takes the model out of service. "
             "The runbook (link above) says when."))
    board.with_row(row("When it began"))
    add(lines("Evidence of drift", "none", "Evidence grows from the change on. The alarm is at the threshold.",
              (best("cxr_drift_evidence", "", "group"), "{{group}} " + OF), (best("cxr_drift_threshold", "", "group"), "threshold {{group}} " + OF), span=12, powers=True))
    add(lines("Evidence of the other detectors", "none", "The alarm is at the threshold.",
              (best("cxr_detector_evidence", "", "detector"), "{{detector}} " + OF), (best("cxr_detector_threshold", "", "detector"), "threshold {{detector}} " + OF), span=12, powers=True))
    add(lines("Shift by quantity", "none", "Mean of 2p - 1.", (best("cxr_drift_shift", "", "quantity"), "{{quantity}}"), span=12, low=None))
    add(lines("Images in the last hour", "none", "By outcome.", (f"clamp_min(delta({'max by (' + STREAM + ', outcome) (cxr_images{' + OF_STREAM + '})'}[1h:5s]), 0)", "{{outcome}} " + OF), span=12))
    board.with_row(row("Monitoring itself"))
    add(lines("Leader", "none", "1 in the replica that computes monitoring.", ('cxr_monitoring_leader{site=~"$site"}', "{{instance}}")))
    add(lines("Age of the results by replica", "s", "A ticket above 120 s.", ('time() - (cxr_monitoring_results_read_timestamp_seconds{site=~"$site"} > 0)', "{{instance}}")))
    add(lines("Streams beyond the limit", "none", "", ('max by (site) (cxr_monitoring_streams_pooled{site=~"$site"})', "{{site}}")))
    add(lines("Age of the baseline", "s", "Since its approval.", (f"time() - {best('cxr_baseline_approved_timestamp_seconds')}", OF), span=12))
    add(lines("Renewals", "s", "Time until certificates expire; age of key sets. Empty without TLS and without published keys.",
              ('min by (section) (cxr_tls_certificate_expires_timestamp_seconds{site=~"$site"}) - time()', "certificate {{section}}"),
              ('time() - cxr_key_set_fetched_timestamp_seconds{site=~"$site"}', "key set {{source}} {{instance}}"),
              ('sum by (source) (increase(cxr_key_set_fetch_failures_total{site=~"$site"}[1h]))', "failed fetches {{source}}"), span=12))
    return board
