//! A command that loads ONNX Runtime opens no network connection, according to strace.

use crate::support::repository;
use std::process::Command;

#[test]
fn a_command_that_loads_onnx_runtime_opens_no_connection_and_writes_nothing_at_home() {
    if Command::new("strace").arg("--version").output().is_err() {
        system_tests::skipped("no strace (scripts/setup.sh installs it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (home, file) = (folder.path().join("home"), folder.path().join("trace"));
    std::fs::create_dir(&home).unwrap();
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=socket,connect,sendto,sendmsg,sendmmsg,open,openat", "-o"])
        .arg(&file);
    command.arg(env!("CARGO_BIN_EXE_cxr-trainer")).args(["verify", "models/default"]);
    command.args(["--public-key", "config/development-signing-key.pub.pem"]);
    // The program must set this variable itself.
    command.env_remove("ORT_DISABLE_TELEMETRY").env("HOME", &home).env("XDG_CACHE_HOME", home.join(".cache"));
    let done = command.current_dir(repository()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let trace = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(trace.contains("libonnxruntime"), "the library was not loaded");
    for line in trace.lines() {
        let holds = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
        let writes = holds(&["O_WRONLY", "O_RDWR", "O_CREAT"]) && !line.contains(" = -1 ");
        assert!(!holds(&["socket(", "connect(", "sendto(", "sendmsg(", "sendmmsg("]), "{line}");
        assert!(!writes || !line.contains(home.to_str().unwrap()), "{line}");
    }
    assert!(std::fs::read_dir(&home).unwrap().next().is_none(), "HOME is not empty");
}
