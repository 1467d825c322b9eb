//! Compatibility: the service accepts what real identity providers, browsers, scripts and forms send,
//! and an error names what is wrong.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use std::process::Command;
use system_tests::server::{Options, Server, problem};
use system_tests::tokens::{self, claims, now};
use system_tests::{images, postgres};
use tempfile::TempDir;

fn with(changes: &Value) -> Value {
    let mut all = claims("tester", "");
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    all
}

async fn may_predict(server: &Server, changes: &Value) -> u16 {
    let token = tokens::sign_development(&with(changes));
    let request = server.prediction("").bearer_auth(token);
    request.body(images::small(1)).send().await.unwrap().status().as_u16()
}

/// A server with this development.yaml.
async fn configured(yaml: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("development.yaml"), yaml).unwrap();
    let options = Options::on(&postgres::shared().database());
    let server = options.variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap()).start_ready().await;
    (server, folder)
}

#[tokio::test]
async fn scopes_may_be_a_string_or_a_list_in_the_claims_that_are_configured() {
    let server = Server::ready().await;
    for changes in [
        json!({"scope": "openid predict"}),
        json!({"scope": ["openid", "predict"]}),
        json!({"scp": "predict"}),
        json!({"scp": ["predict"]}),
    ] {
        assert_eq!(may_predict(&server, &changes).await, 200, "{changes}");
    }
    for changes in [json!({"roles": ["predict"]}), json!({"scope": "predict,label"}), json!({"scp": []})] {
        assert_eq!(may_predict(&server, &changes).await, 403, "{changes}");
    }
    let (server, _folder) = configured(
        "service: {auth: {scopes: {claims: [scp, roles, realm_access.roles], prefixes: ['api://cxr/'], \
         names: [{name: Radiology Readers, grants: [predict, label]}]}}}",
    )
    .await;
    for changes in [
        json!({"scp": "api://cxr/predict"}),
        json!({"roles": ["Radiology Readers"]}),
        json!({"realm_access": {"roles": ["offline_access", "api://cxr/predict"]}}),
    ] {
        assert_eq!(may_predict(&server, &changes).await, 200, "{changes}");
    }
    // A scope of another service of the site grants nothing here.
    for changes in
        [json!({"scp": "predict"}), json!({"scope": "api://cxr/predict"}), json!({"roles": ["readers"]})]
    {
        assert_eq!(may_predict(&server, &changes).await, 403, "{changes}");
    }
}

#[tokio::test]
async fn a_token_with_199_groups_is_accepted_over_both_versions_of_http() {
    let server = Server::ready().await;
    let groups: Vec<String> = (0..199)
        .map(|n| format!("CN=Group {n:04},OU=Radiology,OU=Groups,DC=hospital,DC=example,DC=org"))
        .collect();
    let token = tokens::sign_development(&with(&json!({"scope": "predict", "groups": groups})));
    assert!((16_000..32_768).contains(&token.len()), "{} bytes", token.len());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let mut command = Command::new("curl");
        command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", version, "-H"]);
        command.arg(format!("Authorization: Bearer {token}")).arg(format!("{}/v1/model", server.base));
        let done = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "200", "{version}");
    }
    let longer = tokens::sign_development(&with(&json!({"scope": "predict", "x": "x".repeat(30_000)})));
    let refused =
        server.client.get(format!("{}/v1/model", server.base)).bearer_auth(longer).send().await.unwrap();
    let body = problem(refused, 401, "unauthenticated").await;
    assert!(body["detail"].as_str().unwrap().contains("32768"), "{body}");
}

#[tokio::test]
async fn a_refusal_names_the_wrong_claim_of_a_token_and_never_its_value() {
    let server = Server::ready().await;
    let secret = "Mary-Miller-1957";
    let lookalikes = [
        "tester ",
        " tester",
        "tes ter",
        "tes\u{200b}ter",
        "\u{202e}retset",
        "tester\u{a0}",
        "te\u{301}ster",
        "tes\tter",
    ];
    let mut cases: Vec<(Value, &str)> =
        lookalikes.iter().map(|sub| (json!({"sub": sub}), "claim sub")).collect();
    cases.extend([
        (json!({"iss": format!("https://{secret}")}), "(iss)"),
        (json!({"aud": secret}), "(aud)"),
        (json!({"exp": now() - 600}), "(exp)"),
        (json!({"nbf": now() + 600}), "(nbf)"),
        (json!({"exp": secret}), "claim exp"),
        (json!({"exp": null}), "claim exp"),
        (json!({"sub": [secret]}), "claim sub"),
        (json!({"sub": secret.repeat(10)}), "claim sub"),
        (json!({"scope": {"predict": secret}}), "claim scope"),
    ]);
    let token = |changes: &Value| tokens::sign_development(&with(changes));
    let mut cases: Vec<(String, &str)> =
        cases.iter().map(|(changes, named)| (token(changes), *named)).collect();
    cases.push((tokens::unsigned(&claims(secret, "")), "alg"));
    let rs256 = jsonwebtoken::Header {
        kid: Some(secret.into()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    cases.push((tokens::sign_under(&rs256, &with(&json!({"aud": secret}))), "(aud)"));
    for (token, named) in cases {
        let request = server.client.get(format!("{}/v1/model", server.base)).bearer_auth(&token);
        let refused = request.send().await.unwrap();
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let body = problem(refused, 401, "unauthenticated").await;
        assert!(
            body["detail"].as_str().unwrap().contains(named) && challenge.contains(named),
            "{named}: {body} {challenge}"
        );
        assert!(!body.to_string().contains(secret) && !body.to_string().contains(&token), "{body}");
    }
    assert!(!server.log().contains(secret) && !server.log().contains('\u{202e}'));
}

#[tokio::test]
async fn aliases_of_media_types_and_the_identity_encoding_are_accepted() {
    let server = Server::ready().await;
    let post = |name: &str, value: &str, image: Vec<u8>| {
        let request = server.prediction("").header(name, value);
        request.bearer_auth(tokens::token("predict")).body(image).send()
    };
    for (media, image) in [
        ("image/jpg", images::jpeg(1, true)),
        ("image/pjpeg", images::jpeg(1, true)),
        ("Image/X-PNG", images::small(1)),
        ("image/tif", images::tiff(1, true)),
        ("image/x-tiff", images::tiff(1, true)),
        ("binary/octet-stream", images::small(1)),
    ] {
        assert_eq!(post("content-type", media, image).await.unwrap().status(), 200, "{media}");
    }
    for (encoding, status) in [("identity", 200), ("Identity", 200), ("gzip", 415), ("identity, gzip", 415)] {
        let answer = post("content-encoding", encoding, images::small(1)).await.unwrap();
        assert_eq!(answer.status(), status, "{encoding}");
    }
    let form = Form::new().part("file", Part::bytes(images::small(1)).mime_str("image/x-png").unwrap());
    let request = server.prediction("").multipart(form);
    assert_eq!(request.bearer_auth(tokens::token("predict")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn booleans_are_accepted_in_common_spellings_and_empty_fields_count_as_absent() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    for (explain, drawn) in [
        ("true", true),
        ("True", true),
        ("1", true),
        ("yes", true),
        ("ON", true),
        ("0", false),
        ("False", false),
        ("", false),
    ] {
        let answer = server.post(&format!("?explain={explain}"), images::small(1)).await;
        assert_eq!(answer.status(), 200, "{explain}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["heatmap"].is_string(), drawn, "{explain}");
    }
    let body =
        problem(server.post("?explain=perhaps", images::small(1)).await, 400, "malformed_request").await;
    assert!(body["detail"].as_str().unwrap().contains("explain must be true or false"), "{body}");
    let body = problem(server.post("?agee=4", images::small(1)).await, 400, "malformed_request").await;
    assert!(body["detail"].as_str().unwrap().contains("age, view, modality, explain"), "{body}");

    let form = Form::new().text("age", "").text("view", " ").text("modality", "").text("subject", "");
    let form = form.part("file", Part::bytes(images::small(1)));
    let request = server.prediction("?age=&view=AP").multipart(form);
    let answer = request.bearer_auth(tokens::token("predict")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let row = "select age_years is null, view, modality is null, subject is null from predictions order by id desc limit 1";
    let found = postgres::psql(&url, row);
    assert_eq!(found.as_deref().unwrap_or("no such column"), "t|AP|t|t");
}

#[tokio::test]
async fn a_filter_that_no_row_can_match_is_a_400_that_names_it() {
    let server = Server::ready().await;
    for (query, parameter, allowed) in [
        ("outcome=nonsense", "outcome", "predicted, rejected, expired, failed"),
        ("outcome=Predicted", "outcome", "predicted"),
        ("outcome=", "outcome", "predicted"),
        ("decision=PNEUMONIA", "decision", "positive, negative"),
        ("label=maybe", "label", "positive, negative"),
        ("reason=because", "reason", "blank"),
        ("format=xml", "format", "json, ndjson, csv, fhir"),
        ("review_required=perhaps", "review_required", "true or false"),
        ("limit=many", "limit", "1 to 1000"),
        ("limit=0", "limit", "1 to 1000"),
        ("from=yesterday", "from", "RFC 3339"),
        ("cursor=7", "cursor", "next"),
        ("request_id=Mary", "request_id", "UUID"),
        ("input_digest=Mary", "input_digest", "64 hexadecimal digits"),
        ("actr=x", "actor", "outcome, decision"),
    ] {
        let answer = server.get(&format!("/v1/predictions?{query}"), "audit:read").await;
        let body = problem(answer, 400, "malformed_request").await;
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(parameter) && detail.contains(allowed), "{query}: {detail}");
        assert!(!detail.contains("Mary") && !detail.contains("nonsense"), "{detail}");
    }
    for query in [
        "reason=deadline_exceeded",
        "reason=near_threshold",
        "reason=infer_failed",
        "unreviewed=True",
        "review_required=0",
    ] {
        assert_eq!(
            server.get(&format!("/v1/predictions?{query}"), "audit:read").await.status(),
            200,
            "{query}"
        );
    }
}

#[tokio::test]
async fn only_listed_origins_may_read_answers_in_a_browser() {
    let preflight = |server: &Server, origin: &str| {
        let url = format!("{}/v1/predictions", server.base);
        let request = server.client.request(reqwest::Method::OPTIONS, url).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type,x-subject-id").send()
    };
    let viewer = "https://viewer.hospital.example";
    let server = Server::ready().await;
    let closed = preflight(&server, viewer).await.unwrap();
    assert_eq!(closed.status(), 405);
    assert!(!closed.headers().contains_key("access-control-allow-origin"));

    let (server, _folder) =
        configured(&format!("service: {{http: {{cors: {{allowed_origins: ['{viewer}']}}}}}}")).await;
    let open = preflight(&server, viewer).await.unwrap();
    assert_eq!(open.status(), 200);
    assert_eq!(open.headers()["access-control-allow-origin"], viewer);
    assert_eq!(open.headers()["access-control-max-age"], "600");
    let allowed = open.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("x-subject-id"), "{allowed}");
    assert!(!open.headers().contains_key("access-control-allow-credentials"));
    let unlisted = preflight(&server, "https://elsewhere.example").await.unwrap();
    assert!(!unlisted.headers().contains_key("access-control-allow-origin"));
    // Refusals too: the page must be able to read the reason.
    for token in [tokens::token("predict"), "nonsense".to_owned()] {
        let request = server.prediction("").header("origin", viewer);
        let answer = request.bearer_auth(token).body(images::small(1)).send().await.unwrap();
        assert_eq!(answer.headers()["access-control-allow-origin"], viewer);
        assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
    }

    for wrong in ["'*'", "'null'", "'https://viewer.example/'"] {
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!("service: {{http: {{cors: {{allowed_origins: [{wrong}]}}}}}}");
        std::fs::write(folder.path().join("development.yaml"), yaml).unwrap();
        let options = Options::on("postgres://nobody@localhost/nothing");
        let refused = options.variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap()).run_to_end();
        let output = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && output.contains("service.http.cors.allowed_origins"),
            "{wrong}: {output}"
        );
    }
}

#[tokio::test]
async fn the_api_browser_has_a_content_security_policy_and_cannot_be_framed() {
    let server = Server::ready().await;
    let get = |path: &str| server.client.get(format!("{}{path}", server.base)).send();
    let page = get("/docs/").await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for rule in ["default-src 'none'", "script-src 'self';", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    let html = page.text().await.unwrap();
    // The policy allows exactly what the page needs: scripts and styles in files of this service, none
    // inline.
    assert!(
        !html.contains("<style") && !html.contains(" onload=") && !html.contains("javascript:"),
        "{html}"
    );
    let mut scripts = 0;
    for script in html.split("<script").skip(1) {
        let (head, rest) = script.split_once('>').unwrap();
        let source = head.split_once("src=\"").unwrap().1.split('"').next().unwrap();
        assert!(
            rest.split("</script>").next().unwrap().trim().is_empty(),
            "the page has an inline script: {script}"
        );
        let file = get(&format!("/docs/{}", source.trim_start_matches("./"))).await.unwrap();
        assert_eq!(file.status(), 200, "{source}");
        scripts += 1;
    }
    assert_eq!(scripts, 3);
    let settings = get("/docs/swagger-initializer.js").await.unwrap().text().await.unwrap();
    assert!(
        settings.contains("/openapi.json") && settings.contains("\"validatorUrl\": \"none\""),
        "{settings}"
    );
    let answer = get("/livez").await.unwrap();
    assert_eq!(answer.headers()["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
}
