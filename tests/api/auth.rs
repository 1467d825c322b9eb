//! Authentication and scopes: which tokens are accepted, and the answers to all others.

use jsonwebtoken::Algorithm;
use reqwest::Response;
use serde_json::{Value, json};
use system_tests::server::{Options, Server, problem};
use system_tests::tokens::{self, KeyPair, claims, now};
use system_tests::{images, postgres, root};

/// All scopes.
const SCOPES: [&str; 5] = ["predict", "label", "audit:read", "monitor:read", "admin"];

async fn predict(server: &Server, token: &str) -> Response {
    let request = server.prediction("").bearer_auth(token);
    request.body(images::jpeg(1, false)).send().await.unwrap()
}

fn with(changes: &Value) -> Value {
    let mut all = claims("tester", "predict");
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    all
}

#[tokio::test]
async fn bad_tokens_are_401_and_leave_no_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let bad = [
        tokens::sign_development(&with(&json!({"exp": now() - 600}))),
        tokens::sign_development(&with(&json!({"nbf": now() + 600}))),
        tokens::sign_development(&with(&json!({"exp": null}))),
        tokens::sign_development(&with(&json!({"sub": null}))),
        tokens::sign_development(&with(&json!({"sub": ""}))),
        tokens::sign_development(&with(&json!({"sub": "x".repeat(5000)}))),
        tokens::sign_development(&with(&json!({"iss": "https://elsewhere.invalid"}))),
        tokens::sign_development(&with(&json!({"iss": null}))),
        tokens::sign_development(&with(&json!({"aud": "another-service"}))),
        tokens::sign_development(&with(&json!({"aud": null}))),
        tokens::sign(&claims("tester", "predict"), b"the wrong secret, long enough to be plausible"),
        tokens::unsigned(&claims("tester", "predict")),
        "not-a-token".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(20_000),
    ];
    for token in &bad {
        let response = predict(&server, token).await;
        let challenge = response.headers().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
        let body = problem(response, 401, "unauthenticated").await;
        assert!(challenge.is_some_and(|c| c.starts_with("Bearer")), "{body}");
        assert!(token.len() < 20 || !body.to_string().contains(token.as_str()));
    }
    let none = server.prediction("").body(images::jpeg(1, false));
    problem(none.send().await.unwrap(), 401, "unauthenticated").await;
    let basic = server.client.get(format!("{}/v1/model", server.base)).basic_auth("a", Some("b"));
    problem(basic.send().await.unwrap(), 401, "unauthenticated").await;
    assert_eq!(postgres::psql(&url, "select count(*) from predictions").unwrap(), "0");
}

#[tokio::test]
async fn every_route_requires_its_scope_and_new_routes_cannot_be_forgotten() {
    let server = Server::ready().await;
    // Not taken from the service, so that a path that becomes public by mistake fails here.
    let public = ["/livez", "/readyz", "/metrics", "/openapi.json"];
    let wanted = [
        ("post", "/v1/predictions", "predict"),
        ("get", "/v1/predictions", "audit:read"),
        ("get", "/v1/predictions/{id}", "audit:read"),
        ("post", "/v1/predictions/{id}/labels", "label"),
        ("get", "/v1/predictions/{id}/labels", "label"),
        ("get", "/v1/audit/checkpoint", "audit:read"),
        ("get", "/v1/audit/proofs/{id}", "audit:read"),
        ("get", "/v1/audit/consistency", "audit:read"),
        ("get", "/v1/model", ""),
        ("post", "/v1/model/reload", "admin"),
        ("post", "/v1/model/state", "admin"),
        ("get", "/v1/monitoring/overview", "monitor:read"),
        ("get", "/v1/monitoring/drift", "monitor:read"),
        ("get", "/v1/monitoring/calibration", "monitor:read"),
        ("get", "/v1/monitoring/performance", "monitor:read"),
        ("get", "/v1/monitoring/alarms", "monitor:read"),
        ("post", "/v1/monitoring/alarms/{id}/acknowledge", "admin"),
        ("post", "/v1/monitoring/alarms/{id}/resolve", "admin"),
        ("get", "/v1/review-sample", "audit:read"),
        ("get", "/v1/operations", "audit:read"),
    ];
    let document = server.document().await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if public.contains(&path.as_str()) {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let (.., scope) = wanted
                .iter()
                .find(|(m, p, _)| m == method && p == path)
                .unwrap_or_else(|| panic!("{method} {path} is new: add it to `wanted` with its scope"));
            let target =
                format!("{}{}", server.base, path.replace("{id}", "0190a000-0000-7000-8000-000000000000"));
            let call = |token: Option<String>| {
                let request = server.client.request(method.to_uppercase().parse().unwrap(), &target);
                token
                    .map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token))
                    .body("x")
                    .send()
            };
            problem(call(None).await.unwrap(), 401, "unauthenticated").await;
            // Each other scope alone, all others together, and similar names.
            let others: Vec<&str> = SCOPES.into_iter().filter(|other| other != scope).collect();
            let together = others.join(" ");
            let unknown = format!("other {scope}x {} audit", scope.to_uppercase());
            for wrong in others.into_iter().chain([together.as_str(), unknown.as_str(), ""]) {
                if !scope.is_empty() {
                    problem(call(Some(tokens::token(wrong))).await.unwrap(), 403, "forbidden").await;
                }
            }
            let status = call(Some(tokens::token(scope))).await.unwrap().status().as_u16();
            assert!(status != 401 && status != 403, "{method} {path} with {scope:?}: {status}");
        }
    }
    // Scopes may also be a list in the claim `scp`.
    let token = tokens::sign_development(&with(&json!({"scope": null, "scp": ["audit:read", "predict"]})));
    assert_eq!(predict(&server, &token).await.status(), 200);
}

/// A production server that trusts one key, configured in a file.
async fn production(directory: &std::path::Path, keys: &str) -> Server {
    let yaml = format!("service:\n  auth:\n    keys:\n{keys}\n  model:\n    trusted_keys: [bundle.pem]\n");
    let site_key = KeyPair::new(Algorithm::EdDSA, &made(directory, "bundle-key"));
    std::fs::write(directory.join("bundle.pem"), &site_key.public_pem).unwrap();
    std::fs::write(
        directory.join("production.yaml"),
        yaml.replace("bundle.pem", &directory.join("bundle.pem").display().to_string()),
    )
    .unwrap();
    resign(directory, &site_key);
    let database = postgres::shared().database();
    Options::on(&postgres::as_user(&database, "writer"))
        .set("database.reader_url", &postgres::as_user(&database, "auditor"))
        .variable("CXR_PROFILE", "production")
        .variable("CXR_CONFIG_DIR", directory.to_str().unwrap())
        .set("auth.issuer", &tokens::ISSUER)
        .set("auth.audience", &tokens::AUDIENCE)
        .set("audit.input_key", &"an input key for tests, 32 bytes or more")
        .set("audit.signing_key", &tokens::LOG_KEY)
        .set("audit.site", &"test-site")
        .set("audit.anchor.directory", &directory.join("anchor").display())
        .set("model.bundle", &directory.join("bundle").display())
        .start_ready()
        .await
}

fn made(directory: &std::path::Path, name: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A copy of the default bundle signed with another key.
fn resign(directory: &std::path::Path, key: &KeyPair) {
    use ed25519_dalek::pkcs8::DecodePrivateKey as _;
    let (source, copy) = (root().join("models/default"), directory.join("bundle"));
    let done = std::process::Command::new("cp").arg("-r").arg(source).arg(&copy).status().unwrap();
    assert!(done.success());
    let pem = String::from_utf8(key.private_pem.clone()).unwrap();
    let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).unwrap();
    let signature = cxr::bundle::sign(&std::fs::read(copy.join("bundle.json")).unwrap(), &key);
    std::fs::write(copy.join("signature"), serde_json::to_vec(&signature).unwrap()).unwrap();
}

#[tokio::test]
async fn production_accepts_only_asymmetric_tokens_each_with_the_algorithm_of_its_key() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let directory = tempfile::tempdir().unwrap();
        let pair = KeyPair::new(algorithm, directory.path());
        let pem = directory.path().join("public.pem");
        let keys = format!(
            "      - pem_file: {}\n        algorithm: {algorithm:?}\n        kid: site",
            pem.display()
        );
        let server = production(directory.path(), &keys).await;
        let good = claims("pacs", "predict");
        assert_eq!(predict(&server, &pair.sign(&good, Some("site"))).await.status(), 200, "{algorithm:?}");
        assert_eq!(predict(&server, &pair.sign(&good, None)).await.status(), 200, "{algorithm:?}");
        // Another key, another kid, the public key as an HMAC secret, the development secret, no signature.
        let stranger = KeyPair::new(algorithm, &made(directory.path(), "stranger"));
        let bad = [
            stranger.sign(&good, Some("site")),
            pair.sign(&good, Some("elsewhere")),
            tokens::sign(&good, &pair.public_pem),
            tokens::sign_development(&good),
            tokens::unsigned(&good),
        ];
        for token in bad {
            problem(predict(&server, &token).await, 401, "unauthenticated").await;
        }
    }
}

#[tokio::test]
async fn keys_come_from_a_jwks_file() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let directory = tempfile::tempdir().unwrap();
    let pair = KeyPair::new(Algorithm::EdDSA, directory.path());
    // The last 32 bytes of an Ed25519 SubjectPublicKeyInfo are the key.
    let pem = String::from_utf8(pair.public_pem.clone()).unwrap();
    let der = STANDARD.decode(pem.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "2026-01", "x": x}]});
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, jwks.to_string()).unwrap();
    let server = production(directory.path(), &format!("      - jwks_file: {}", path.display())).await;
    let good = claims("pacs", "predict");
    assert_eq!(predict(&server, &pair.sign(&good, Some("2026-01"))).await.status(), 200);
    problem(predict(&server, &pair.sign(&good, Some("2025-12"))).await, 401, "unauthenticated").await;
}
