//! Access control. The API description is the policy: a route without declared access stops the start, and a
//! request for a path outside the table never reaches a handler.

use crate::auth::{Actor, Scope};
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::middleware::observe::Arrival;
use crate::http::middleware::target::check_host;
use crate::net::{Connection, ListenerRole, PublicResponsePermit};
use crate::quota::Standing;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::openapi::OpenApi as Document;

/// Name of the security scheme in the API description.
pub(crate) const SCHEME: &str = "bearer";

const METRICS: &str = "/metrics";
/// Served on every listener.
const HEALTH: [&str; 2] = ["/livez", "/readyz"];

/// Described routes without a token.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/metrics", "/openapi.json"];

/// The pages of the API browser: public, and not part of the description.
const BROWSER: [&str; 3] = ["/docs", "/docs/", "/docs/{*rest}"];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("{0} declares no security")]
    Undeclared(String),
    #[error("{0} declares itself public but is not in the list of public routes")]
    NotPublic(String),
    #[error("{0} requires an unknown scope")]
    UnknownScope(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Public,
    /// A valid token with all of these scopes.
    Token(Vec<Scope>),
}

/// Access by path template and method.
#[derive(Debug)]
pub(crate) struct AccessTable(BTreeMap<String, BTreeMap<String, Access>>);

impl AccessTable {
    pub(crate) fn from_document(document: &Document) -> Result<Self, AccessError> {
        let described = serde_json::to_value(&document.paths).unwrap_or_default();
        let mut table = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (path, operations) in described.as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let access = declared(path, &format!("{} {path}", method.to_uppercase()), operation)?;
                table.entry(path.clone()).or_default().insert(method.to_uppercase(), access);
            }
        }
        for path in BROWSER {
            table.insert(path.to_owned(), BTreeMap::from([("GET".to_owned(), Access::Public)]));
        }
        Ok(Self(table))
    }

    fn find(&self, path: &str, method: &Method) -> Result<&Access, ApiError> {
        let methods = self.0.get(path).ok_or(ApiError::UnknownRoute)?;
        // A GET handler answers HEAD as well.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let allow =
            || ApiError::MethodNotAllowed { allow: methods.keys().cloned().collect::<Vec<_>>().join(", ") };
        methods.get(method.as_str()).ok_or_else(allow)
    }
}

fn declared(path: &str, operation: &str, described: &Value) -> Result<Access, AccessError> {
    let requirement = described.pointer("/security/0").and_then(Value::as_object);
    let requirement = requirement.ok_or_else(|| AccessError::Undeclared(operation.into()))?;
    let Some(scopes) = requirement.get(SCHEME) else {
        let listed = requirement.is_empty() && PUBLIC.contains(&path);
        return if listed { Ok(Access::Public) } else { Err(AccessError::NotPublic(operation.into())) };
    };
    let scopes = scopes.as_array().into_iter().flatten().map(|scope| scope.as_str().and_then(Scope::named));
    let scopes: Option<_> = scopes.collect();
    scopes.map(Access::Token).ok_or_else(|| AccessError::UnknownScope(operation.into()))
}

/// Authenticates, checks scopes and rate limit, and adds the [`Actor`] to the request's extensions.
pub(crate) async fn authorise(
    State((api, table)): State<(Shared, Arc<AccessTable>)>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    check_host(request.version(), request.headers())?;
    let path = path.ok_or(ApiError::UnknownRoute)?;
    let access = table.find(path.as_str(), request.method())?;
    let role = request.extensions().get().copied().unwrap_or(ListenerRole::Both);
    if !is_served(path.as_str(), access, role) {
        let clients = role == ListenerRole::Clients;
        let key = if clients { "service.http.operations_bind" } else { "service.http.bind" };
        return Err(ApiError::OtherAddress { key });
    }
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    if let Access::Token(scopes) = access {
        let actor = api.verifier.verify(bearer(request.headers())?).await?;
        if let Some(arrival) = request.extensions().get::<Arrival>() {
            arrival.set_actor(&actor);
        }
        if let Some(connection) = &connection {
            connection.set_authenticated();
        }
        if let Some(missing) = scopes.iter().find(|scope| !actor.has(**scope)) {
            return Err(ApiError::InsufficientScope(*missing));
        }
        let standing = api.quotas.request(actor.sub()).map_err(ApiError::RateLimited)?;
        request.extensions_mut().insert::<Actor>(actor);
        let mut response = next.run(request).await;
        if let Some(standing) = standing {
            set_rate_limit_headers(&standing, response.headers_mut());
        }
        return Ok(response);
    }
    // A connection may have a few public answers in flight (net/slots.rs).
    let public = match &connection {
        Some(connection) => connection.public_permit().await,
        None => None,
    };
    let mut response = next.run(request).await;
    if let Some(public) = public {
        response.extensions_mut().insert(PublicResponsePermit(Arc::new(public)));
    }
    Ok(response)
}

/// With a listener for operators, their routes are served only there, and only health probes beside them.
fn is_served(path: &str, access: &Access, role: ListenerRole) -> bool {
    let operation =
        path == METRICS || matches!(access, Access::Token(scopes) if scopes.contains(&Scope::Admin));
    match role {
        ListenerRole::Both => true,
        ListenerRole::Clients => !operation,
        ListenerRole::Operators => operation || HEALTH.contains(&path),
    }
}

/// Sets the rate limit headers (draft-ietf-httpapi-ratelimit-headers-10).
pub(crate) fn set_rate_limit_headers(standing: &Standing, headers: &mut HeaderMap) {
    let Standing { burst, window, remaining, retry_after } = standing;
    let policy = format!("\"client\";q={burst};w={}", window.as_secs_f64().ceil());
    let now = format!("\"client\";r={remaining};t={}", retry_after.as_secs_f64().ceil());
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", now)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(ApiError::MissingToken) };
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(ApiError::MissingToken)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim_start()) } else { Err(ApiError::MissingToken) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_without_declared_access_is_refused() {
        let declare = |path: &str, security: Value| declared(path, path, &json!({ "security": security }));
        assert_eq!(declared("/x", "/x", &json!({})), Err(AccessError::Undeclared("/x".into())));
        for (path, security, access) in [
            ("/x", json!([]), Err(AccessError::Undeclared("/x".into()))),
            ("/x", json!([{}]), Err(AccessError::NotPublic("/x".into()))),
            ("/x", json!([{ "bearer": ["all"] }]), Err(AccessError::UnknownScope("/x".into()))),
            ("/livez", json!([{}]), Ok(Access::Public)),
            ("/x", json!([{ "bearer": ["predict"] }]), Ok(Access::Token(vec![Scope::Predict]))),
            ("/x", json!([{ "bearer": [] }]), Ok(Access::Token(vec![]))),
        ] {
            assert_eq!(declare(path, security), access);
        }
    }

    #[test]
    fn the_described_routes_have_the_access_they_should() {
        let table = AccessTable::from_document(&crate::http::document()).unwrap();
        let access = |path, method| table.find(path, &method).cloned();
        for (path, method, scopes) in [
            ("/v1/predictions", Method::POST, vec![Scope::Predict]),
            ("/v1/predictions/{id}", Method::GET, vec![Scope::AuditRead]),
            ("/v1/predictions/{id}", Method::HEAD, vec![Scope::AuditRead]),
            ("/v1/model", Method::GET, vec![]),
        ] {
            assert_eq!(access(path, method).unwrap(), Access::Token(scopes), "{path}");
        }
        assert!(matches!(access("/v1/model", Method::DELETE), Err(ApiError::MethodNotAllowed { .. })));
        let public =
            table.0.iter().filter(|(_, methods)| methods.values().any(|access| *access == Access::Public));
        let mut public: Vec<&str> = public.map(|(path, _)| path.as_str()).collect();
        let mut expected = [PUBLIC.as_slice(), BROWSER.as_slice()].concat();
        public.sort_unstable();
        expected.sort_unstable();
        assert_eq!(public, expected);
    }
}
