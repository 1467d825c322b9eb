//! `cxr-service bundle`: signing, showing and verifying bundles, and its refusals.

use std::path::Path;
use std::process::Command;
use system_tests::bundles::flip_a_byte;
use system_tests::root;
use system_tests::server::binary;

fn bundle(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let done = Command::new(binary()).arg("bundle").args(arguments).current_dir(folder).output().unwrap();
    let output = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&output).into_owned())
}

fn openssl(folder: &Path, arguments: &str) -> bool {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    done.status.success()
}

/// A folder with a copy of the default bundle in `model`, and a key in `own.key` and `own.pem`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (shipped, copy) = (root().join("models/default"), folder.path().join("model"));
    assert!(Command::new("cp").arg("-r").args([shipped, copy]).status().unwrap().success());
    let (made, public) = bundle(folder.path(), &["new-key", "--out", "own.key"]);
    assert!(made, "{public}");
    std::fs::write(folder.path().join("own.pem"), public).unwrap();
    folder
}

#[test]
fn a_bundle_is_signed_with_a_new_key_and_verified_with_its_public_half() {
    let folder = folder();
    let folder = folder.path();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&folder.join("own.key").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (signed, output) = bundle(folder, &["verify", "--public-key", "own.pem", "model"]);
    assert!(!signed && output.contains("signed by key"), "{output}");
    let (signed, output) = bundle(folder, &["sign", "--key", "own.key", "model"]);
    assert!(
        signed && output.contains("cxr-pneumonia") && output.contains("is now signed by key"),
        "{output}"
    );
    let (whole, output) = bundle(folder, &["verify", "--public-key", "own.pem", "model"]);
    assert!(whole, "{output}");
    let development = root().join("config/development-signing-key.pub.pem");
    let development = development.to_str().unwrap();
    assert!(!bundle(folder, &["verify", "--public-key", development, "model"]).0);
    assert!(bundle(folder, &["verify", "--public-key", development, "--public-key", "own.pem", "model"]).0);

    // openssl reads our key, and we read its key.
    assert!(openssl(folder, "pkey -in own.key -noout"));
    assert!(openssl(folder, "genpkey -algorithm ed25519 -out other.key"));
    assert!(openssl(folder, "pkey -in other.key -pubout -out other.pem"));
    assert!(bundle(folder, &["sign", "--key", "other.key", "model"]).0);
    assert!(bundle(folder, &["verify", "--public-key", "other.pem", "model"]).0);
    assert!(!bundle(folder, &["new-key", "--out", "own.key"]).0, "a key is never overwritten");
}

#[test]
fn inspect_shows_what_the_manifest_says() {
    let folder = folder();
    let (shown, output) = bundle(folder.path(), &["inspect", "model"]);
    assert!(shown, "{output}");
    assert!(output.contains("verdict       none: the bundle was not judged"), "{output}");
    let bytes = std::fs::read(folder.path().join("model/bundle.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let text = |pointer: &str| manifest.pointer(pointer).and_then(|value| value.as_str()).unwrap().to_owned();
    for expected in
        [text("/name"), text("/version"), text("/intended_use/statement"), cxr::bundle::sha256_hex(&bytes)]
    {
        assert!(output.contains(&expected), "{expected}: {output}");
    }
    for (file, digest) in manifest["files"].as_object().unwrap() {
        let line =
            output.lines().find(|line| line.ends_with(file)).unwrap_or_else(|| panic!("{file}: {output}"));
        assert!(line.contains(digest["sha256"].as_str().unwrap()), "{line}");
    }
    for variant in manifest["variants"].as_object().unwrap().keys() {
        assert!(output.contains(variant), "{variant}: {output}");
    }
    let sensitivity = manifest.pointer("/evaluation/test/sensitivity/value").unwrap().as_f64().unwrap();
    assert!(output.contains(&format!("sensitivity {sensitivity:.3}")), "{output}");
    assert!(output.contains("the development key: production refuses it"), "{output}");
    assert!(bundle(folder.path(), &["sign", "--key", "own.key", "model"]).0);
    assert!(!bundle(folder.path(), &["inspect", "model"]).1.contains("development key"));
}

#[test]
fn a_damaged_bundle_is_not_signed_and_a_wrong_key_is_explained() {
    let folder = folder();
    let folder = folder.path();
    let before = std::fs::read(folder.join("model/signature")).unwrap();
    let refused = |arguments: &[&str], what: &str| {
        let (done, output) = bundle(folder, arguments);
        assert!(!done && output.contains(what), "{arguments:?}: {output}");
        assert!(!output.contains("BEGIN PRIVATE"), "{output}");
    };
    refused(&["sign", "--key", "own.pem", "model"], "is a public key");
    refused(&["sign", "--key", "no.key", "model"], "no.key: cannot be read");
    refused(&["sign", "--key", "own.key", "elsewhere"], "bundle.json: cannot be read");
    assert!(openssl(folder, "genpkey -algorithm ed25519 -aes256 -pass pass:x -out encrypted.key"));
    refused(&["sign", "--key", "encrypted.key", "model"], "is encrypted");
    assert!(openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key"));
    refused(&["sign", "--key", "ec.key", "model"], "not an Ed25519 private key");
    refused(&["verify", "--public-key", "own.key", "model"], "is not an Ed25519 public key");
    flip_a_byte(&folder.join("model/model.onnx"));
    refused(&["sign", "--key", "own.key", "model"], "model.onnx: SHA-256 is");
    refused(&["inspect", "model"], "model.onnx: SHA-256 is");
    assert_eq!(std::fs::read(folder.join("model/signature")).unwrap(), before);
}
