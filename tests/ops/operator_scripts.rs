//! The scripts for operators, beside a configured service and as a container user without a name.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use system_tests::postgres::as_user;
use system_tests::server::{Options, binary};
use system_tests::{images, log, postgres, root, skipped};

fn open(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restore_drill_works_beside_a_configured_service_and_for_a_user_without_a_name() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let anchor = folder.path().join("anchor");
    let options = Options::on(&url).set("audit.anchor.directory", &anchor.display());
    let server = options.set("audit.anchor.interval_ms", &1).start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    log::anchored(&anchor, 1).await;
    let dump = folder.path().join("dump");
    let backup = as_user(&url, "backup");
    let mut dumped = Command::new("pg_dump");
    dumped.args(["--format=custom", "--dbname", &backup, "--file"]).arg(&dump);
    assert!(dumped.status().unwrap().success());

    // The folder has a production.yaml and no development.yaml, and the variables name the production
    // database.
    std::fs::write(folder.path().join("production.yaml"), "service: {audit: {site: here}}").unwrap();
    let drill = |mut command: Command, service: &Path| {
        command.args([url.as_str(), log::PUBLIC_KEY]).arg(&anchor).arg(&dump);
        command.env("CXR_SERVICE", service).env("CXR_CONFIG_DIR", folder.path());
        command.env("CXR_SERVICE__DATABASE__URL", "postgres://nobody@localhost/nothing?host=/nowhere");
        command.env("CXR_SERVICE__DATABASE__READER_URL", "postgres://nobody@localhost/nothing?host=/nowhere");
        let done = command.output().unwrap();
        let output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success() && output.contains("1 leaves, 1 rows verified"), "{output}");
    };
    let script = root().join("scripts/restore-drill.sh");
    drill(Command::new(&script), &binary());

    // As a user who is not in /etc/passwd, with a copy of the programs and scripts: the checkout and its
    // build folder may be readable for their owner only.
    let installed = folder.path().join("installed");
    std::fs::create_dir(&installed).unwrap();
    open(&installed);
    for file in [&binary(), &script, &root().join("scripts/private-postgres.sh")] {
        let copy = installed.join(file.file_name().unwrap());
        std::fs::copy(file, &copy).unwrap();
        open(&copy);
    }
    let as_unknown_user = ["--reuid=53171", "--regid=53171", "--clear-groups", "--"];
    let switched = Command::new("setpriv").args(as_unknown_user).arg("true").status();
    if !switched.is_ok_and(|became| became.success()) {
        return skipped("only root can become another user");
    }
    let mut command = Command::new("setpriv");
    command.args(as_unknown_user).arg(installed.join("restore-drill.sh"));
    command.env("HOME", "/nonexistent").current_dir(folder.path());
    drill(command, &installed.join("cxr-service"));
}

#[test]
fn onnxruntime_can_be_installed_for_all_users() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let libraries = folder.path().join("opt/lib");
    let script = root().join("scripts/onnxruntime.sh");
    let install = || {
        let done = Command::new("sh")
            .args(["-c", "umask 077; \"$0\" \"$1\""])
            .arg(&script)
            .arg(&libraries)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let library = install();
    assert!(Path::new(&library).starts_with(libraries.canonicalize().unwrap()), "{library}");
    for path in std::fs::read_dir(&libraries).unwrap().map(|entry| entry.unwrap().path()) {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o044, 0o044, "{}", path.display());
    }
    assert_eq!(libraries.parent().unwrap().metadata().unwrap().permissions().mode() & 0o005, 0o005);
    assert_eq!(install(), library, "a second installation gives the same library");
}
