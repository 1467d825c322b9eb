//! HTTP with timeouts and with the credentials of MLflow's own environment variables. Errors name the request
//! and the response, and never show credentials.

use crate::tracking::store::{DeliveryError, StoreResult};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Method, Request, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Uploads may take this many times longer than other requests.
const UPLOAD_FACTOR: u32 = 4;
const SHOWN_CHARACTERS: usize = 500;

pub(super) struct Http {
    agent: Agent,
    url: String,
    authorization: Option<String>,
    timeout: Duration,
}

pub(super) struct Response {
    request_line: String,
    status: StatusCode,
    text: String,
}

impl Http {
    pub(super) fn new(url: &str, request_seconds: u64) -> Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        url.parse::<Uri>().with_context(|| format!("trainer.tracking.server: {url} is not a URL"))?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("cxr-trainer/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(root_certificates()?).build())
            .build()
            .into();
        Ok(Self {
            agent,
            url,
            authorization: authorization()?,
            timeout: Duration::from_secs(request_seconds),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> StoreResult<Response> {
        let query: Vec<String> =
            query.iter().map(|(key, value)| format!("{key}={}", percent_encode(value, ""))).collect();
        self.send(Method::GET, &format!("{path}?{}", query.join("&")), None, self.timeout)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> StoreResult<Response> {
        let body = body.to_string();
        self.send(Method::POST, path, Some(("application/json", body.as_bytes())), self.timeout)
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> StoreResult<Response> {
        let body = Some(("application/octet-stream", bytes));
        self.send(Method::PUT, &percent_encode(path, "/"), body, self.timeout * UPLOAD_FACTOR)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &[u8])>,
        timeout: Duration,
    ) -> StoreResult<Response> {
        let request_line = format!("{method} {}/{path}", self.url);
        let later =
            |what: &dyn std::fmt::Display| DeliveryError::Retryable(format!("{request_line}: {what}"));
        let mut request = Request::builder().method(method).uri(format!("{}/{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let (kind, bytes) = body.unwrap_or(("application/json", &[]));
        let request = request.header("Content-Type", kind).body(bytes).map_err(|error| later(&error))?;
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        let mut response = self.agent.run(request).map_err(|error| later(&error))?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(|error| later(&error))?;
        Ok(Response { request_line, status, text })
    }
}

impl Response {
    /// Whether it is the MLflow error with this code.
    pub(super) fn is_error(&self, code: &str) -> bool {
        !self.status.is_success()
            && serde_json::from_str::<Value>(&self.text).is_ok_and(|body| body["error_code"] == code)
    }

    /// The JSON of a successful response; `null` for an empty body.
    pub(super) fn ok(self) -> StoreResult<Value> {
        if self.status.is_success() && self.text.trim().is_empty() {
            return Ok(Value::Null);
        }
        if self.status.is_success() {
            return serde_json::from_str(&self.text).map_err(|_| {
                let (request_line, shown) = (&self.request_line, shown(&self.text));
                DeliveryError::Retryable(format!(
                    "{request_line}: the response is not JSON: {shown}; is this an MLflow server?"
                ))
            });
        }
        let advice = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            }
            _ => "",
        };
        let what = format!("{}: answered {}: {}{advice}", self.request_line, self.status, shown(&self.text));
        // The server understood and rejected the request, so a retry would fail too. Everything else may
        // change.
        Err(match self.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                DeliveryError::Permanent(what)
            }
            _ => DeliveryError::Retryable(what),
        })
    }
}

fn shown(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().take(SHOWN_CHARACTERS).collect()
}

/// The user name takes precedence over the token, as in MLflow's client.
fn authorization() -> Result<Option<String>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let header = match (variable("MLFLOW_TRACKING_USERNAME"), variable("MLFLOW_TRACKING_PASSWORD")) {
        (Some(user), Some(password)) => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        (None, None) => variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}")),
        _ => bail!("MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD: set both"),
    };
    if header.as_ref().is_some_and(|header| !header.bytes().all(|byte| (0x20..0x7F).contains(&byte))) {
        bail!("MLFLOW_TRACKING_TOKEN: not allowed in an HTTP header");
    }
    Ok(header)
}

/// Mozilla's, or those in the file that `MLFLOW_TRACKING_SERVER_CERT_PATH` names.
fn root_certificates() -> Result<RootCerts> {
    const VARIABLE: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";
    let Some(file) = std::env::var_os(VARIABLE).filter(|file| !file.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let pem =
        std::fs::read(&file).with_context(|| format!("{VARIABLE}: {} cannot be read", file.display()))?;
    let items: Vec<PemItem> = parse_pem(&pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{VARIABLE}: {} is not a PEM file", file.display()))?;
    let certificate = |item| if let PemItem::Certificate(found) = item { Some(found) } else { None };
    let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
    ensure!(!certificates.is_empty(), "{VARIABLE}: {} holds no certificate", file.display());
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Percent-encodes everything except unreserved characters (RFC 3986) and those in `kept`.
fn percent_encode(text: &str, kept: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte);
    let encode = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
