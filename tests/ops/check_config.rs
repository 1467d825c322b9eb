//! `check-config` finds everything that `serve` could not use, in one run.

use std::path::Path;
use std::process::Command;
use system_tests::openssl::{self, NEW_KEY};
use system_tests::site::{PASSWORD, Site};

/// The reported problems: key and message.
fn problems(output: &str) -> Vec<(&str, &str)> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("  service."));
    lines.filter_map(|line| line.split_once(": ")).collect()
}

#[test]
fn everything_that_serve_could_not_use_is_found_at_once() {
    let site = Site::migrated();
    let (fine, output) = site.run(&["check-config", "--connect"]);
    assert!(fine && output.contains("every database user has the rights it needs"), "{output}");
    openssl::certificate(site.folder.path(), "one");
    openssl::certificate(site.folder.path(), "two");
    let folder = site.folder.path().display().to_string();
    let bare = site.folder.path().join("unsigned");
    let copied = Command::new("cp").arg("-r").arg(site.config().join("model")).arg(&bare).status().unwrap();
    assert!(copied.success());
    std::fs::remove_file(bare.join("signature")).unwrap();
    site.edit(|yaml| {
        let tls =
            format!("tls: {{ certificate_file: {folder}/one.pem, private_key_file: {folder}/two.key }}");
        let yaml = yaml.replace("http: {", &format!("http: {{ {tls},"));
        let yaml = yaml.replace(&format!("{folder}/anchor"), &format!("{folder}/no-anchor"));
        let yaml = yaml.replace(&format!("{folder}/etc/model"), &bare.display().to_string());
        let yaml =
            yaml.replace("    site: main", &format!("    site: main\n    erasures_file: {folder}/no-list"));
        let missing = "{ pem_file: /no/such.pem, algorithm: RS256 }, { jwks_url: https://127.0.0.1:9/jwks }]";
        yaml.replace("algorithm: EdDSA }]", &format!("algorithm: EdDSA }}, {missing}"))
    });
    site.cluster.psql("postgres", "alter role cxr_service password 'another'");
    site.cluster
        .psql("postgres", "revoke cxr_auditor from cxr_reader; grant connect on database cxr to cxr_reader");

    let expected = [
        ("auth.keys[1]", "/no/such.pem cannot be read"),
        ("http.tls", "do not belong together"),
        ("model", "signature: the bundle is not signed"),
        ("audit.anchor.directory", "no-anchor is not an existing folder"),
        ("audit.erasures_file", "no-list is missing"),
    ];
    let (fine, output) = site.run(&["check-config"]);
    let found = problems(&output);
    assert!(!fine && output.contains("the configuration has 5 problems"), "{output}");
    for (key, what) in expected {
        assert!(found.iter().any(|(found, why)| *found == key && why.contains(what)), "{key}: {output}");
    }
    let connected = [
        ("database.url", "password authentication failed"),
        ("database.reader_url", "permission denied"),
        ("auth.keys[2].jwks_url", "does not respond"),
    ];
    let (fine, output) = site.run(&["check-config", "--connect"]);
    let found = problems(&output);
    assert!(!fine && output.contains("the configuration has 8 problems"), "{output}");
    for (key, what) in expected.into_iter().chain(connected) {
        let (_, why) =
            found.iter().find(|(found, _)| *found == key).unwrap_or_else(|| panic!("{key}: {output}"));
        // The problem and the advice.
        assert!(why.contains(what) && why.contains("; "), "{key}: {output}");
    }
    assert!(output.contains("GRANT cxr_auditor TO this user"), "{output}");
    assert!(!output.contains(PASSWORD), "a secret was printed: {output}");
}

/// The default bundle is for children: a site with adults would refer every image that states no age.
#[test]
fn a_bundle_that_is_not_intended_for_the_patients_of_the_site_is_reported() {
    let site = Site::migrated();
    site.edit(|yaml| yaml.replacen("service:\n", "service:\n  patients: { age_years: [18, 90] }\n", 1));
    let (fine, output) = site.run(&["check-config"]);
    let found = problems(&output);
    assert!(!fine && found.len() == 1 && found[0].0 == "patients", "{output}");
    assert!(found[0].1.contains("outside the bundle's intended use"), "{output}");
}

#[test]
fn a_database_user_with_too_many_rights_is_reported() {
    let site = Site::migrated();
    let owner = site.options().set("database.url_file", &site.config().join("owner-url").display());
    let run = |options: system_tests::server::Options| {
        let done = options.command_line(&["check-config", "--connect"]).run_to_end();
        assert!(!done.status.success());
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let output = run(owner);
    assert!(
        output.contains("service.database.url: the user cxr_owner may change the log's tables"),
        "{output}"
    );
    // One user for both pools lacks a right.
    let alone = site.options().set("database.reader_url_file", &site.config().join("service-url").display());
    let output = run(alone);
    assert!(output.contains("the user cxr_service may not SELECT on predictions"), "{output}");
    assert!(output.contains("database.reader_url"), "{output}");
    let exchanged =
        site.options().set("database.reader_url_file", &site.config().join("owner-url").display());
    let output = run(exchanged);
    assert!(output.contains("service.database.reader_url: the user cxr_owner may change"), "{output}");
    site.cluster.psql(
        "cxr",
        "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)",
    );
    let output = run(site.options());
    assert!(output.contains("is not applied; run cxr-service migrate"), "{output}");
}

/// Creates a certificate that was valid in January 2020, in `old.pem`, and its key.
fn expired(folder: &Path) {
    let authority = "[ca]\ndefault_ca = x\n[x]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = p\nx509_extensions = v3\n\
        [v3]\nbasicConstraints = CA:FALSE\n\
        [p]\ncommonName = supplied\n";
    for (name, text) in [("authority", authority), ("index", ""), ("serial", "01\n")] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    openssl::run(folder, &format!("req {NEW_KEY} -subj /CN=cxr -keyout old.key -out old.csr"));
    openssl::run(
        folder,
        "ca -batch -selfsign -config authority -keyfile old.key -in old.csr -out old.pem -notext \
         -startdate 20200101000000Z -enddate 20200201000000Z",
    );
}

#[test]
fn the_anchor_of_another_log_and_an_expired_certificate_are_reported() {
    let site = Site::migrated();
    std::fs::write(
        site.anchor().join("checkpoint"),
        "another.log/main\n5\nAAAA\n\n— another.log/main AAAA\n",
    )
    .unwrap();
    let folder = site.folder.path();
    expired(folder);
    site.edit(|yaml| {
        let folder = folder.display();
        let tls =
            format!("tls: {{ certificate_file: {folder}/old.pem, private_key_file: {folder}/old.key }}");
        yaml.replace("http: {", &format!("http: {{ {tls},"))
    });
    let (fine, output) = site.run(&["check-config"]);
    assert!(!fine && output.contains("is not a checkpoint of this log"), "{output}");
    assert!(output.contains("service.http.tls.certificate_file: the certificate has expired"), "{output}");
}
