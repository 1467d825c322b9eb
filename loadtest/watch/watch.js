// Draws the dashboards of deploy/grafana from a live Prometheus: time series, single values, tables, state timelines and texts.

const RANGE_S = 900;
const REFRESH_MS = 3000;
const COLOURS = ["#2f7ed8", "#d9822b", "#2a9d6f", "#b5476b", "#7a5fc0", "#8a8d21", "#3fa7b5", "#c0504d", "#6b7b8c", "#a0652f"];
const NAMED = { green: "var(--good)", yellow: "var(--warning)", orange: "var(--warning)", red: "var(--bad)", blue: "#2f7ed8", text: "var(--text)", transparent: "var(--text)" };

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const fetchJson = async (path) => {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
};

let dashboards = {};
let shown = new URLSearchParams(location.search).get("dashboard");
let charts = new Map();

const substitute = (expr, dashboard) => {
  let text = expr.replace(/\$__rate_interval|\$\{__rate_interval\}/g, "1m").replace(/\$__interval|\$\{__interval\}/g, "15s")
    .replace(/\$__range|\$\{__range\}/g, `${RANGE_S}s`);
  for (const variable of dashboard.templating?.list ?? []) {
    const value = variable.type === "interval" ? "1m" : variable.multi || variable.includeAll ? ".*" : variable.current?.value ?? ".*";
    text = text.replace(new RegExp(`\\$\\{${variable.name}(:\\w+)?\\}|\\$${variable.name}\\b`, "g"), Array.isArray(value) ? ".*" : value === "$__all" ? ".*" : value);
  }
  return text;
};

const query = async (target, dashboard, range) => {
  const expr = encodeURIComponent(substitute(target.expr, dashboard));
  const now = Date.now() / 1000;
  const path = range ? `/prometheus/api/v1/query_range?query=${expr}&start=${now - RANGE_S}&end=${now}&step=5` : `/prometheus/api/v1/query?query=${expr}`;
  return (await fetchJson(path)).data.result;
};

const nameOf = (target, labels) => {
  const format = target.legendFormat;
  if (format && format !== "__auto") return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "");
  return Object.entries(labels).filter(([name]) => name !== "__name__").map(([name, value]) => `${name}=${value}`).join(" ") || target.refId || "value";
};

const digits = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
};
const seconds = (value) => {
  const size = Math.abs(value);
  const [unit, by] = size < 1e-3 ? ["µs", 1e6] : size < 1 ? ["ms", 1e3] : size < 120 ? ["s", 1] : size < 7200 ? ["min", 1 / 60] : size < 172800 ? ["h", 1 / 3600] : ["days", 1 / 86400];
  return `${digits(value * by)} ${unit}`;
};
const UNITS = {
  percentunit: (value) => `${digits(value * 100)} %`, percent: (value) => `${digits(value)} %`, s: seconds, ms: (value) => seconds(value / 1e3), reqps: (value) => `${digits(value)}/s`,
  bytes: (value) => `${digits(value / 1048576)} MiB`, dateTimeFromNow: (value) => `${seconds((Date.now() - value) / 1e3)} ago`, dateTimeAsIso: (value) => new Date(value).toLocaleString(),
};
const formatted = (panel, value) => {
  const defaults = panel.fieldConfig?.defaults ?? {};
  for (const mapping of defaults.mappings ?? []) {
    const found = mapping.type === "value" ? mapping.options[String(value)] : mapping.type === "range" && value >= (mapping.options.from ?? -Infinity) && value <= (mapping.options.to ?? Infinity) ? mapping.options.result : null;
    if (found) return { text: found.text ?? digits(value), colour: NAMED[found.color] ?? found.color };
  }
  const steps = defaults.thresholds?.steps ?? [];
  const step = steps.filter(({ value: from }) => from === null || from === undefined || value >= from).at(-1);
  return { text: (UNITS[defaults.unit] ?? digits)(value), colour: steps.length > 1 ? NAMED[step?.color] ?? step?.color : undefined };
};

const nothing = (panel) => element("p", { className: "none", textContent: panel.fieldConfig?.defaults?.noValue ?? "no data" });

const drawValues = async (panel, body, dashboard) => {
  const values = element("div", { className: "values" });
  for (const target of panel.targets ?? []) {
    for (const { metric, value } of await query(target, dashboard, false)) {
      const { text, colour } = formatted(panel, Number(value[1]));
      const number = element("b", { textContent: text });
      if (colour) number.style.color = colour;
      values.append(element("div", {}, number, element("small", { textContent: nameOf(target, metric) })));
    }
  }
  body.replaceChildren(values.childElementCount ? values : nothing(panel));
};

const drawTable = async (panel, body, dashboard) => {
  const rows = [];
  for (const target of panel.targets ?? []) {
    for (const { metric, value } of await query(target, dashboard, false)) rows.push([metric, Number(value[1]), target]);
  }
  if (!rows.length) return body.replaceChildren(nothing(panel));
  const names = [...new Set(rows.flatMap(([metric]) => Object.keys(metric)))].filter((name) => name !== "__name__" && rows.some(([metric]) => metric[name]));
  rows.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const head = element("tr", {}, ...[...names, "value"].map((name) => element("th", { textContent: name })));
  const lines = rows.map(([metric, value]) => element("tr", {}, ...names.map((name) => element("td", { textContent: metric[name] ?? "" })), element("td", { className: "number", textContent: formatted(panel, value).text })));
  body.replaceChildren(element("table", {}, head, ...lines));
};

const series = async (panel, dashboard) => {
  const found = [];
  for (const target of panel.targets ?? []) {
    for (const { metric, values } of await query(target, dashboard, true)) found.push({ name: nameOf(target, metric), values: new Map(values.map(([at, value]) => [Math.round(at / 5) * 5, Number(value)])) });
  }
  return found;
};

const drawTimeline = async (panel, body, dashboard) => {
  const found = await series(panel, dashboard);
  if (!found.length) return body.replaceChildren(nothing(panel));
  const grid = element("div", { className: "timeline" });
  const end = Math.round(Date.now() / 5000) * 5;
  for (const { name, values } of found) {
    const bar = element("span");
    for (let at = end - RANGE_S; at <= end; at += 15) {
      const value = values.get(at);
      const part = element("i", { title: value === undefined ? "" : formatted(panel, value).text });
      part.style.flex = "1";
      part.style.background = value === undefined ? "transparent" : formatted(panel, value).colour ?? (value ? "var(--bad)" : "var(--good)");
      bar.append(part);
    }
    grid.append(element("label", { textContent: name }), bar);
  }
  body.replaceChildren(grid);
};

const drawSeries = async (panel, body, dashboard) => {
  const found = (await series(panel, dashboard)).slice(0, 24);
  const key = found.map(({ name }) => name).join("\n");
  if (!found.length) { charts.delete(panel.id); return body.replaceChildren(nothing(panel)); }
  const times = [...new Set(found.flatMap(({ values }) => [...values.keys()]))].sort((a, b) => a - b);
  const data = [times, ...found.map(({ values }) => times.map((at) => values.get(at) ?? null))];
  const old = charts.get(panel.id);
  const width = body.clientWidth, height = Math.max(60, body.clientHeight - 74);
  if (old?.key === key && old.width === width) return old.chart.setData(data);
  const powers = panel.fieldConfig?.defaults?.custom?.scaleDistribution?.type === "symlog";
  const axis = getComputedStyle(document.body).color;
  const unit = UNITS[panel.fieldConfig?.defaults?.unit] ?? digits;
  const line = { stroke: axis, font: "11px system-ui", grid: { stroke: "#8884", width: .5 }, ticks: { stroke: "#8884" } };
  const options = {
    width, height, scales: { y: powers ? { distr: 4, asinh: 1 } : { range: (_, low, high) => uPlot.rangeNum(Math.min(low, 0), high > 0 || low < 0 ? high : 1, 0.1, true) } }, legend: { live: true },
    axes: [line, { ...line, size: 62, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : unit(tick)) }],
    series: [{}, ...found.map(({ name }, i) => ({ label: name, stroke: COLOURS[i % COLOURS.length], width: 1.5, spanGaps: false, value: (_, value) => value === null ? "" : unit(value) }))],
  };
  body.replaceChildren();
  charts.set(panel.id, { key, width, chart: new uPlot(options, data, body) });
};

const DRAW = { timeseries: drawSeries, stat: drawValues, gauge: drawValues, bargauge: drawValues, table: drawTable, "state-timeline": drawTimeline };

const layOut = (dashboard) => {
  charts = new Map();
  const panels = (dashboard.panels ?? []).flatMap((panel) => [panel, ...(panel.type === "row" ? panel.panels ?? [] : [])]);
  // The files give panels no ids; Grafana numbers them when it loads a dashboard.
  panels.forEach((panel, index) => { panel.id = index; });
  document.getElementById("panels").replaceChildren(...panels.map((panel) => {
    const body = element("div", { className: "body" });
    const box = element("section", { className: `panel ${panel.type === "row" ? "row" : ""}`, title: panel.description ?? "" }, element("h2", { textContent: panel.title ?? "" }), body);
    const { x = 0, y = 0, w = 24, h = 1 } = panel.gridPos ?? {};
    box.style.gridArea = `${y + 1} / ${x + 1} / span ${h} / span ${w}`;
    if (panel.type === "text") body.append(element("div", { textContent: panel.options?.content ?? "" }));
    box.dataset.panel = panel.id;
    return box;
  }));
  return panels;
};

let panels = [];
const show = (name) => {
  shown = name;
  for (const button of document.querySelectorAll("#dashboards button")) button.setAttribute("aria-pressed", String(button.textContent === dashboards[name].title));
  panels = layOut(dashboards[name]);
};

const draw = async (panel, dashboard) => {
  const body = document.querySelector(`[data-panel="${panel.id}"] .body`);
  if (!body || !DRAW[panel.type]) return;
  try { await DRAW[panel.type](panel, body, dashboard); } catch (error) { body.replaceChildren(element("p", { className: "error", textContent: error.message })); }
};

// Each refresh begins after the one before has ended, however slow Prometheus is.
const refresh = async () => {
  await Promise.all(panels.map((panel) => draw(panel, dashboards[shown])));
  document.body.dataset.drawn = shown;
};
const keepFresh = async () => {
  await Promise.allSettled([refresh(), status()]);
  setTimeout(keepFresh, REFRESH_MS);
};

const status = async () => {
  const state = await fetchJson("/state");
  document.getElementById("phase").textContent = state.phase;
  for (const name of ["prometheus", "alertmanager", "service"]) Object.assign(document.getElementById(name), { href: state[name], textContent: state[name] });
  document.getElementById("shifts").replaceChildren(...state.shifts.map((shift) => {
    const button = element("button", { type: "button", textContent: shift });
    button.setAttribute("aria-pressed", String(shift === state.shift));
    button.onclick = () => fetch(`/shift/${shift}`, { method: "POST" }).then(status);
    return button;
  }));
  document.getElementById("alarms").replaceChildren(...state.alerts.map(({ status: what, labels, annotations, startsAt, endsAt }) => {
    const box = element("article", { className: labels.severity ?? "" }, element("strong", { textContent: `${what === "resolved" ? "Resolved" : labels.severity ?? "alert"}: ${labels.alertname}` }), ` ${annotations.summary ?? ""} `);
    box.append(element("small", { textContent: new Date(what === "resolved" ? endsAt : startsAt).toLocaleTimeString() }));
    return box;
  }));
};

const start = async () => {
  dashboards = await fetchJson("/dashboards");
  document.getElementById("dashboards").replaceChildren(...Object.entries(dashboards).map(([name, { title }]) => element("button", { type: "button", textContent: title, onclick: () => { show(name); refresh(); } })));
  await status();
  show(dashboards[shown] ? shown : Object.keys(dashboards)[0]);
  keepFresh();
};
start();
