//! The page and its data.

use super::shift::Shift;
use super::stack::Stack;
use anyhow::{Context, Result};
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;

/// Alerts that the page shows; the newest first.
const N_ALERTS: usize = 12;

pub(super) struct State {
    pub(super) prometheus: String,
    pub(super) alertmanager: String,
    service: String,
    n_answered: Arc<AtomicU64>,
    told: Mutex<Told>,
    client: reqwest::Client,
}

struct Told {
    phase: String,
    shift: Shift,
    alerts: Vec<Value>,
}

/// Counts a request once it is answered.
pub(super) struct Counted(Arc<AtomicU64>);

impl Counted {
    pub(super) fn answered(self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl State {
    pub(super) fn new(stack: &Stack) -> Self {
        Self {
            prometheus: stack.alerting.prometheus_url.clone(),
            alertmanager: stack.alerting.alertmanager_url.clone(),
            service: stack.replicas[0].url(),
            n_answered: Arc::default(),
            told: Mutex::new(Told { phase: "starting".to_owned(), shift: Shift::None, alerts: Vec::new() }),
            client: reqwest::Client::new(),
        }
    }

    pub(super) fn n_answered(&self) -> u64 {
        self.n_answered.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) -> Counted {
        Counted(Arc::clone(&self.n_answered))
    }

    pub(super) fn shift(&self) -> Shift {
        self.told().shift
    }

    pub(super) fn shift_to(&self, shift: Shift) {
        let mut told = self.told();
        told.shift = shift;
        told.phase = format!("shift of the traffic: {}", shift.name());
    }

    pub(super) fn set_phase(&self, phase: String) {
        self.told().phase = phase;
    }

    /// Takes over what the receivers of Alertmanager got, the newest first; returns what is new.
    pub(super) fn notify(&self, notifications: &[(String, Value)]) -> Vec<String> {
        let mut alerts: Vec<Value> = Vec::new();
        for alert in
            notifications.iter().filter_map(|(_, message)| message["alerts"].as_array()).flatten().rev()
        {
            let is_known = alerts.iter().any(|other| other["fingerprint"] == alert["fingerprint"]);
            if !is_known && alert["labels"]["alertname"] != "Watchdog" {
                alerts.push(alert.clone());
            }
        }
        alerts.truncate(N_ALERTS);
        let mut told = self.told();
        let is_new = |alert: &&Value| {
            let same =
                |old: &Value| old["fingerprint"] == alert["fingerprint"] && old["status"] == alert["status"];
            !told.alerts.iter().any(same)
        };
        let text = |alert: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{}: {}, {}",
                text(&alert["status"]),
                text(&alert["labels"]["alertname"]),
                text(&alert["annotations"]["summary"])
            )
        };
        let new = alerts.iter().filter(is_new).map(text).collect();
        told.alerts = alerts;
        new
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Listener(TcpListener, SocketAddr);

impl Listener {
    pub(super) async fn bind(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("port {port} of 127.0.0.1 cannot be used"))?;
        let address = listener.local_addr()?;
        Ok(Self(listener, address))
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.1
    }

    pub(super) async fn serve(self, state: Arc<State>, uplot: PathBuf) -> std::io::Result<()> {
        let script = move |Path(name): Path<String>| async move {
            let media_type = match name.as_str() {
                "uPlot.iife.min.js" => "text/javascript",
                "uPlot.min.css" => "text/css",
                _ => return StatusCode::NOT_FOUND.into_response(),
            };
            match std::fs::read(uplot.join(&name)) {
                Ok(file) => ([(header::CONTENT_TYPE, media_type)], file).into_response(),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{name}: {error}")).into_response(),
            }
        };
        let file = |media_type: &'static str, text: &'static str| {
            get(move || async move { ([(header::CONTENT_TYPE, media_type)], text) })
        };
        let routes = Router::new()
            .route("/", file("text/html; charset=utf-8", include_str!("../../watch/index.html")))
            .route("/watch.css", file("text/css", include_str!("../../watch/watch.css")))
            .route("/watch.js", file("text/javascript", include_str!("../../watch/watch.js")))
            .route("/uplot/{name}", get(script))
            .route("/dashboards", get(dashboards))
            .route("/prometheus/api/v1/{what}", get(query))
            .route("/state", get(status))
            .route("/shift/{name}", post(shift))
            .with_state(state);
        axum::serve(self.0, routes).await
    }
}

async fn dashboards() -> Result<Json<BTreeMap<String, Value>>, Failed> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("deploy/grafana/dashboards").context("deploy/grafana/dashboards")? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "json") {
            found.insert(name, serde_json::from_slice(&std::fs::read(&path)?)?);
        }
    }
    Ok(Json(found))
}

async fn query(
    Shared(state): Shared<Arc<State>>,
    Path(what): Path<String>,
    RawQuery(asked): RawQuery,
) -> Result<Response, Failed> {
    let url = format!("{}/api/v1/{what}?{}", state.prometheus, asked.unwrap_or_default());
    let answer = state.client.get(url).send().await?;
    let status = answer.status();
    Ok((status, [(header::CONTENT_TYPE, "application/json")], answer.bytes().await?).into_response())
}

async fn status(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let told = state.told();
    Json(json!({
        "phase": told.phase,
        "shift": told.shift.name(),
        "shifts": Shift::ALL.map(Shift::name),
        "alerts": told.alerts,
        "prometheus": state.prometheus,
        "alertmanager": state.alertmanager,
        "service": format!("{}/docs", state.service),
    }))
}

async fn shift(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> StatusCode {
    let Some(shift) = Shift::parse(&name) else { return StatusCode::NOT_FOUND };
    state.shift_to(shift);
    StatusCode::NO_CONTENT
}

struct Failed(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, format!("{:#}", self.0)).into_response()
    }
}
