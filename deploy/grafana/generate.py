"""Writes the dashboards of deploy/grafana/dashboards. Run it with the interpreter that `scripts/venv.sh grafana` prints.

python deploy/grafana/generate.py [FOLDER]
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common as builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "https://cxr.example.invalid/runbooks"
PREDICTIONS = 'route="/v1/predictions", method="POST"'
# Streams of image statistics have no model: their version and variant are empty.
STREAM = "site, version, variant, slice"
OF_STREAM = 'site=~"$site", version=~"$version|", variant=~"$variant|", slice=~"$slice"'
SITE = 'site=~"$site"'


def best(metric, more="", by=""):
    """A gauge of monitoring, which every replica exports with the same value."""
    return f"max by ({STREAM}{', ' + by if by else ''}) ({metric}{{{OF_STREAM}{', ' + more if more else ''}}})"


def queries(panel, targets, instant=False):
    for letter, (expr, legend) in zip("ABCDEFGHIJ", targets):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter)
        panel.with_target(query.instant().format("table") if instant else query.range())
    return panel


def dress(panel, title, unit, description, span, height):
    return panel.title(title).description(description).unit(unit).datasource(SOURCE).span(span).height(height)


def lines(title, unit, description, *targets, span=8, height=7, low=0, powers=False):
    """Lines over time; with `powers` on a scale of powers of ten that begins with 0, for evidence."""
    panel = dress(timeseries.Panel(), title, unit, description, span, height)
    if powers:
        scale = builders.ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG).log(10).linear_threshold(1)
        panel.scale_distribution(scale)
    if low is not None:
        panel.min(low)
    panel.legend(legend_below()).fill_opacity(0).show_points(common.VisibilityMode.NEVER)
    return queries(panel, targets)


def legend_below():
    legend = builders.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
    return legend.display_mode(common.LegendDisplayMode.LIST)


def number(title, unit, description, expr, legend="{{site}}", bad=None, good=None, states=None, span=4, height=4):
    """The newest value. It is red from `bad` on, or below `good`; `states` names values."""
    panel = dress(stat.Panel(), title, unit, description, span, height)
    steps = [model.Threshold(value=None, color="green")]
    if bad is not None:
        steps.append(model.Threshold(value=bad, color="red"))
    if good is not None:
        steps = [model.Threshold(value=None, color="red"), model.Threshold(value=good, color="green")]
    panel.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    if states:
        texts = {value: model.ValueMappingResult(text=word) for value, word in states.items()}
        panel.mappings([model.ValueMap(options=texts)])
    return queries(panel, [(expr, legend)])


def rows(title, unit, description, *targets, span=12, height=7):
    return queries(dress(table.Panel(), title, unit, description, span, height), targets, instant=True)


def note(title, content, span=24, height=4):
    return text.Panel().title(title).content(content).mode("markdown").span(span).height(height)


def row(title):
    return dashboard.Row(title)


def variable(name, label, query):
    query = {"query": query, "refId": name}
    return (dashboard.QueryVariable(name).label(label).query(query).datasource(SOURCE).multi(True).include_all(True)
            .all_value(".*").refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_ASC)
            .current(model.VariableOption(selected=True, text="All", value="$__all")))


def annotation(name, colour, expr):
    query = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False).icon_color(colour)
    return query.expr(expr)


def page(uid, title, description, runbook, with_model):
    board = (dashboard.Dashboard(title).uid(uid).description(description).tags(["cxr"]).timezone("utc").readonly()
             .refresh("30s").time("now-24h", "now").tooltip(model.DashboardCursorSync.CROSSHAIR))
    board.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    board.with_variable(variable("site", "Site", 'label_values(up{job="cxr"}, site)'))
    if with_model:
        for name, label in [("version", "Model version"), ("variant", "Variant"), ("slice", "Slice")]:
            board.with_variable(variable(name, label, f'label_values(cxr_images{{{SITE}}}, {name})'))
    board.link(dashboard.DashboardLink("cxr").type(model.DashboardLinkType.DASHBOARDS).tags(["cxr"]).include_vars(True)
               .keep_time(True))
    board.link(dashboard.DashboardLink("Runbooks").type(model.DashboardLinkType.LINK).url(f"{RUNBOOKS}/{runbook}")
               .icon("doc").target_blank(True))
    board.annotation(annotation("Pages", "red", f'ALERTS{{severity="page", alertstate="firing", {SITE}}}'))
    board.annotation(annotation("Model changes", "blue", f"max by (site, version, variant) (cxr_model_info{{{SITE}}}) "
                                f"unless max by (site, version, variant) (cxr_model_info{{{SITE}}} offset 5m)"))
    baseline = "max by ({0}) (cxr_baseline_approved_timestamp_seconds{{{1}}}{2})"
    board.annotation(annotation("Baseline changes", "purple", baseline.format(STREAM, SITE, "") + " != on ("
                                + STREAM + ") " + baseline.format(STREAM, SITE, " offset 5m") + " or "
                                + baseline.format(STREAM, SITE, "") + f" unless on ({STREAM}) "
                                + baseline.format(STREAM, SITE, " offset 5m")))
    return board


def plain(board):
    """The dashboard as JSON, without what the builder gives every variable although only those of intervals have it."""
    board = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    for entry in board["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):
            entry.pop(key, None)
    return board


def main():
    import health
    import service

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"
    for name, board in [("service", service.dashboard()), ("model-health", health.health()), ("incident", health.incident())]:
        (folder / f"{name}.json").write_text(json.dumps(plain(board), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
