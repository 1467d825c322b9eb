//! Layers, problems that are reported all at once, and secrets that are never shown.

use super::*;
use std::path::{Path, PathBuf};

fn sources(profile: Profile, folder: Option<&Path>, variables: &[(&str, &str)]) -> Sources {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { profile, directory: folder.map(Path::to_owned), environment }
}

fn load(profile: Profile, variables: &[(&str, &str)]) -> Result<Config, Misconfigurations> {
    load_in(profile, None, variables)
}

fn load_in(
    profile: Profile,
    folder: Option<&Path>,
    variables: &[(&str, &str)],
) -> Result<Config, Misconfigurations> {
    Config::load(&sources(profile, folder, variables))
}

const DATABASE: (&str, &str) = ("CXR_SERVICE__DATABASE__URL", "postgres://cxr:hunter2@localhost/cxr");
const LIBRARY: (&str, &str) = ("ORT_DYLIB_PATH", "/opt/libonnxruntime.so");

const DEVELOPMENT_LOG_KEY: &str =
    "PRIVATE+KEY+development.cxr.invalid/log+a49e0ad1+ASK/1f3sWEeIYrsH38NeuBbnx8bF9MEIxX2pVbt61qKV";

fn problems(profile: Profile, variables: &[(&str, &str)]) -> Vec<String> {
    load(profile, variables).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn development_needs_only_a_database_and_a_library() {
    let config = load(Profile::Development, &[DATABASE, LIBRARY]).unwrap();
    assert_eq!(*config.model.onnxruntime_library, PathBuf::from("/opt/libonnxruntime.so"));
    assert_eq!(config.effective()["service.model.onnxruntime_library"], "/opt/libonnxruntime.so");
    assert_eq!(config.http.bind.port(), 8080);
    assert!(config.auth.hs256_secret.is_some());
    assert!(!config.model.refuse_development_key);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        "service:\n  limits: {max_bytes: 1000, max_frames: 3}\n  model: {trusted_keys: [a.pem, b.pem]}\n";
    std::fs::write(folder.path().join("development.yaml"), file).unwrap();
    let variables =
        [DATABASE, LIBRARY, ("CXR_SERVICE__LIMITS__MAX_BYTES", "2000"), ("CXR_DATA_DIR", "elsewhere")];
    let config = load_in(Profile::Development, Some(folder.path()), &variables).unwrap();
    assert_eq!(config.limits.max_bytes.get(), 2000);
    assert_eq!(config.limits.max_frames.get(), 3);
    assert_eq!(config.limits.max_pixels.get(), 40_000_000);
    assert_eq!(config.model.trusted_keys.len(), 2);
    let absent = load_in(Profile::Development, Some(Path::new("/no/such/folder")), &variables).unwrap_err();
    assert!(absent.to_string().contains("/no/such/folder"));
}

#[test]
fn every_problem_is_reported_at_once_with_its_key() {
    let found = problems(
        Profile::Development,
        &[
            LIBRARY,
            ("CXR_SERVICE__HTTP__BIND", "nowhere"),
            ("CXR_SERVICE__HTTP__HEADER_TIMEOUT_MS", "0"),
            ("CXR_SERVICE__HTTP__BINT", "1"),
            ("CXR_SERVICE__LIMITS__MAX_IN_FLIGHT", "many"),
            ("CXR_SERVICE__LIMITS__MAX_BYTES", "0"),
            ("CXR_SERVICE__MODEL__PROVIDER", "tpu"),
            ("CXR_SERVICE__TELEMETRY__LOG_FILTER", "info,=["),
        ],
    );
    let reported = |key: &str, what: &str| {
        let is_reported = found.iter().any(|line| line.starts_with(key) && line.contains(what));
        assert!(is_reported, "{key} {what}: {found:#?}");
    };
    reported("service.http.bind: ", "a string that does not fit");
    reported("service.http.header_timeout_ms: ", "0 is out of range; use 1 to 3600000 milliseconds");
    reported("service.http.bint: ", "unknown key; expected one of");
    reported("service.limits.max_in_flight: ", "expected a whole number");
    reported("service.limits.max_bytes: ", "0 is out of range; expected a whole number, 1 or more");
    reported("service.model.provider: ", "expected one of `cpu`, `cuda`, `openvino`");
    reported("service.telemetry.log_filter: ", "not a log filter");
    reported("service.database.url: ", "not set");
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn ranges_and_rules_over_several_keys_are_reported_together() {
    let mut found = problems(
        Profile::Development,
        &[
            DATABASE,
            LIBRARY,
            ("CXR_SERVICE__LIMITS__DECODE_THREADS", "1025"),
            ("CXR_SERVICE__LIMITS__DEADLINE_MS", "60001"),
            ("CXR_SERVICE__AUDIT__COMMIT__MAX_DELAY_MS", "1001"),
            ("CXR_SERVICE__AUDIT__SITE", ""),
            ("CXR_SERVICE__DATABASE__POOLING", "transaction"),
        ],
    );
    found.sort();
    let expected = [
        "service.audit.commit.max_delay_ms: 1001 is out of range; use 0 to 1000 milliseconds",
        "service.audit.site: empty or too long; set the site's name",
        "service.database.direct_url: not set, but required with database.pooling: transaction; ",
        "service.limits.deadline_ms: longer than max_deadline_ms; use no more than limits.max_deadline_ms",
        "service.limits.decode_threads: 1025 is out of range; use 1 to 1024",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} and not {expected}");
    }
}

#[test]
fn production_has_no_built_in_secret_and_refuses_what_development_may() {
    let found = problems(Profile::Production, &[]);
    for key in [
        "database.url",
        "auth.issuer",
        "auth.audience",
        "auth.keys",
        "model.onnxruntime_library",
        "model.trusted_keys",
        "audit.input_key",
        "audit.signing_key",
        "audit.site",
        "audit.anchor.directory",
    ] {
        assert!(found.iter().any(|line| line.starts_with(&format!("service.{key}: "))), "{key}: {found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
    let found = problems(
        Profile::Production,
        &[
            ("CXR_SERVICE__AUTH__HS256_SECRET", "a secret that is long enough, and still refused"),
            ("CXR_SERVICE__AUDIT__INPUT_KEY", "development-only-input-key-known-to-everybody"),
            ("CXR_SERVICE__AUDIT__SIGNING_KEY", DEVELOPMENT_LOG_KEY),
        ],
    );
    for problem in [
        "service.audit.signing_key: the well-known key",
        "service.auth.hs256_secret: set in the production profile",
        "service.audit.input_key: the well-known secret",
    ] {
        assert!(found.iter().any(|line| line.starts_with(problem)), "{problem}: {found:#?}");
    }
}

#[test]
fn a_secret_is_taken_from_a_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "postgres://cxr:hunter2@localhost/cxr\n").unwrap();
    let from_file = ("CXR_SERVICE__DATABASE__URL_FILE", file.to_str().unwrap());
    let config = load(Profile::Development, &[LIBRARY, from_file]).unwrap();
    assert_eq!(config.database.url().text().expose(), "postgres://cxr:hunter2@localhost/cxr");
    let shown =
        format!("{config:?} {:?}", load(Profile::Development, &[LIBRARY, DATABASE]).unwrap().effective());
    assert!(!shown.contains("hunter2") && !shown.contains("known-to-everybody"), "{shown}");
    assert!(shown.contains("[set, not shown]"));

    let twice = problems(Profile::Development, &[LIBRARY, DATABASE, from_file]);
    assert!(twice[0].starts_with("service.database.url: set twice"), "{twice:#?}");
    let absent =
        problems(Profile::Development, &[LIBRARY, ("CXR_SERVICE__DATABASE__URL_FILE", "/no/such/file")]);
    assert!(absent[0].starts_with("service.database.url_file: the file /no/such/file"), "{absent:#?}");
    let wrong =
        problems(Profile::Development, &[LIBRARY, ("CXR_SERVICE__DATABASE__URL", "mysql://x:hunter2@h/d")]);
    assert!(wrong[0].contains("not the URL of a Postgres") && !wrong[0].contains("hunter2"), "{wrong:#?}");
    // A secret stays a text even if it looks like a number.
    let short =
        problems(Profile::Development, &[LIBRARY, DATABASE, ("CXR_SERVICE__AUDIT__INPUT_KEY", "12345")]);
    assert!(short[0].contains("shorter than 32 bytes") && short.len() == 1, "{short:#?}");
}

#[test]
fn an_invalid_yaml_file_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("production.yaml"), "service: {audit: {input_key: 'hunter2").unwrap();
    let error = load_in(Profile::Production, Some(folder.path()), &[]).unwrap_err().to_string();
    assert!(error.contains("production.yaml is not valid YAML, line 1"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_misspelt_variable_is_reported_and_those_of_other_programs_are_ignored() {
    let found = problems(
        Profile::Development,
        &[
            DATABASE,
            LIBRARY,
            ("CXR_SERVCE__LIMITS__MAX_IN_FLIGHT", "3"),
            ("CXR_SERVICE_LIMITS_MAX_IN_FLIGHT", "3"),
            ("CXR_SERVICE_HOST", "10.0.0.7"),
            ("CXR_SERVICE_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
            ("CXR_TRAINER__SEED", "1"),
            ("CXR_LONG_TESTS", "1"),
        ],
    );
    assert!(found[0].starts_with("CXR_SERVCE__LIMITS__MAX_IN_FLIGHT: "), "{found:#?}");
    assert!(found[1].starts_with("CXR_SERVICE_LIMITS_MAX_IN_FLIGHT: "), "{found:#?}");
    assert_eq!(found.len(), 2, "{found:#?}");
    let folder = tempfile::tempdir().unwrap();
    let load = || load_in(Profile::Development, Some(folder.path()), &[DATABASE, LIBRARY]);
    let error = load().unwrap_err().to_string();
    assert!(error.contains("holds no development.yaml"), "{error}");
    std::fs::write(folder.path().join("development.yaml"), "servce: {limits: {max_in_flight: 3}}").unwrap();
    let error = load().unwrap_err().to_string();
    assert!(error.contains("unknown section servce"), "{error}");
}

#[test]
fn a_command_needs_its_own_part_only() {
    let (database, _) = load_database(&sources(Profile::Production, None, &[DATABASE])).unwrap();
    assert_eq!(database.max_connections.get(), 8);
    assert_eq!(load_database(&sources(Profile::Production, None, &[])).unwrap_err().0.len(), 1);
    assert!(load_auth(&sources(Profile::Development, None, &[])).unwrap().hs256_secret.is_some());
}

#[test]
fn a_key_source_must_be_complete() {
    let folder = tempfile::tempdir().unwrap();
    let keys =
        "[{pem_file: a.pem}, {jwks_file: a, pem_file: b, algorithm: RS256}, {pem_file: c, algorithm: EdDSA}]";
    std::fs::write(folder.path().join("development.yaml"), format!("service: {{auth: {{keys: {keys}}}}}"))
        .unwrap();
    let found = load_in(Profile::Development, Some(folder.path()), &[DATABASE, LIBRARY]).unwrap_err().0;
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["service.auth.keys[0]", "service.auth.keys[1]"]);
}

/// docs/CONFIG.md must list every key with its value in production, and its default if that differs.
#[test]
fn the_documentation_lists_every_key() {
    let documentation = include_str!("../../../docs/CONFIG.md");
    let built_in = [layers::DEFAULT, layers::PRODUCTION];
    for (key, value) in flatten(layers::merge(&built_in, None, &BTreeMap::new()).unwrap()) {
        let start = format!("| `{}` | ", key.trim_start_matches("service."));
        let row = documentation.lines().find_map(|line| line.strip_prefix(&start));
        let listed = row.and_then(|row| row.split(" | ").next());
        let value = format!("`{}`", value.to_string().trim_matches('"'));
        let differs = format!(", in production {value}");
        let is_listed = listed.is_some_and(|listed| listed == value || listed.ends_with(&differs));
        assert!(is_listed, "docs/CONFIG.md should have {start}{value} and has {listed:?}");
    }
}
