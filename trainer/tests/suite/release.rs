//! `verify` finds every change to a bundle, and a released version never changes.

use crate::support::{Workbench, assert_accepted, fail, onnxruntime, repository, succeed};
use cxr::bundle::{Manifest, sha256_hex, sign};
use cxr_trainer::bundle::verify::{Outcome, Verification, public_key, verify};
use cxr_trainer::bundle::version::{Bump, ExistingBundle, next};
use cxr_trainer::export::signing_key;
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

struct Copied {
    folder: TempDir,
}

impl Copied {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        succeed(Command::new("cp").arg("-r").arg(default_bundle().join(".")).arg(folder.path()));
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Edits the manifest and updates the digest of every file.
    fn edit_manifest(&self, edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
        let mut manifest: Manifest =
            serde_json::from_slice(&std::fs::read(self.file("bundle.json")).unwrap()).unwrap();
        edit(&mut manifest);
        for (name, digest) in &mut manifest.files {
            let bytes = std::fs::read(self.file(name)).unwrap();
            (digest.sha256, digest.bytes) = (sha256_hex(&bytes), bytes.len() as u64);
        }
        let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
        std::fs::write(self.file("bundle.json"), &bytes).unwrap();
        bytes
    }

    fn sign(&self, manifest: &[u8], key: &SigningKey) {
        let signature = serde_json::to_vec(&sign(manifest, key)).unwrap();
        std::fs::write(self.file("signature"), signature).unwrap();
    }

    /// Without running the graph.
    fn verify(&self) -> Verification {
        verify(self.folder.path(), Some(&development_key()), None)
    }
}

fn default_bundle() -> PathBuf {
    repository().join("models/default")
}

fn public_key_file() -> PathBuf {
    repository().join("config/development-signing-key.pub.pem")
}

fn development_key() -> VerifyingKey {
    public_key(&public_key_file()).unwrap()
}

/// Names of all files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name);
        }
    }
    found
}

fn failure(table: &Verification) -> String {
    format!("{:#}", table.result().unwrap_err())
}

#[test]
fn the_default_bundle_passes() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
    command.current_dir(repository()).arg("verify").arg(default_bundle());
    command.arg("--public-key").arg(public_key_file()).arg("--onnxruntime").arg(onnxruntime());
    let printed = succeed(&mut command);
    for check in ["signature", "manifest", "digests", "model card", "nothing else", "graph", "golden", "cam"]
    {
        let line = printed.lines().find(|line| line.contains(&format!("ok       {check}")));
        assert!(line.is_some(), "{check}: {printed}");
    }
    let table = verify(&default_bundle(), None, None);
    assert!(table.result().is_ok());
    let skipped = table.checks.iter().filter(|check| check.outcome == Outcome::Skipped);
    assert_eq!(
        skipped.map(|check| check.name.as_str()).collect::<Vec<_>>(),
        ["signature", "outputs fp32", "outputs int8"]
    );
}

#[test]
fn a_changed_byte_and_a_missing_file_are_found() {
    let copied = Copied::new();
    assert!(copied.verify().result().is_ok());
    for name in files(copied.folder.path()) {
        let file = copied.file(&name);
        let original = std::fs::read(&file).unwrap();
        for position in [0, original.len() / 2, original.len() - 1] {
            let mut changed = original.clone();
            changed[position] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            let reason = failure(&copied.verify());
            assert!(reason.contains(&name), "{name}, byte {position}: {reason}");
        }
        std::fs::remove_file(&file).unwrap();
        let reason = failure(&copied.verify());
        assert!(reason.contains(&name), "{name} removed: {reason}");
        std::fs::write(&file, &original).unwrap();
    }
    assert!(copied.verify().result().is_ok());
}

#[test]
fn unsigned_changes_are_refused() {
    let copied = Copied::new();
    for extra in ["run.sh", "golden/more.png"] {
        std::fs::write(copied.file(extra), b"x").unwrap();
        let reason = failure(&copied.verify());
        assert!(reason.contains("nothing else") && reason.contains(extra), "{reason}");
        std::fs::remove_file(copied.file(extra)).unwrap();
    }

    // Edited threshold, correct digests, old signature.
    let lower = |manifest: &mut Manifest| {
        manifest.variants.values_mut().for_each(|variant| variant.policy.threshold = 0.01);
    };
    let manifest = copied.edit_manifest(lower);
    let reason = failure(&copied.verify());
    assert!(reason.contains("signature") && reason.contains("changed after signing"), "{reason}");
    assert!(verify(copied.folder.path(), None, None).result().is_ok(), "the digests alone are right");

    // Signed again with another key; then with the id of the trusted key on that signature.
    let stranger = SigningKey::from_bytes(&[7; 32]);
    copied.sign(&manifest, &stranger);
    assert!(failure(&copied.verify()).contains("signed by key"));
    let mut signature = sign(&manifest, &stranger);
    signature.key_id = cxr::bundle::key_id(&development_key());
    std::fs::write(copied.file("signature"), serde_json::to_vec(&signature).unwrap()).unwrap();
    assert!(failure(&copied.verify()).contains("does not match"));
    let table = verify(&default_bundle(), Some(&stranger.verifying_key()), None);
    assert!(failure(&table).contains("signed by key"), "the wrong key");
}

#[test]
fn a_signed_bundle_with_other_outputs_is_refused() {
    let key = signing_key(&repository().join("config/development-signing-key.pem")).unwrap();
    let refused = |expected: [&str; 2], edit: &dyn Fn(&Copied, &mut Manifest)| {
        let copied = Copied::new();
        let manifest = copied.edit_manifest(|manifest| edit(&copied, manifest));
        copied.sign(&manifest, &key);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
        command.current_dir(repository()).arg("verify").arg(copied.folder.path());
        command.arg("--public-key").arg(public_key_file()).arg("--onnxruntime").arg(onnxruntime());
        let printed = fail(&mut command);
        assert!(expected.iter().all(|text| printed.contains(text)), "{expected:?}: {printed}");
    };
    refused(["FAILED   golden fp32", "phantom-1.png"], &|_, manifest| {
        manifest.variants.values_mut().for_each(|variant| variant.golden[1].logit += 0.5);
    });
    refused(["FAILED   graph fp32", "model.onnx"], &|copied, _| {
        std::fs::write(copied.file("model.onnx"), b"no graph").unwrap();
    });
    refused(["FAILED   graph fp32", "cam"], &|_, manifest| manifest.model.outputs[1].shape[3] = Some(9));
    refused(["FAILED   manifest", "not a semantic version"], &|_, manifest| manifest.version = "1.0".into());
    refused(["FAILED   model card", "another bundle"], &|_, manifest| manifest.version = "9.9.9".into());
}

#[test]
fn a_version_has_one_set_of_answers_forever() {
    let existing = ExistingBundle::read(&default_bundle()).unwrap().unwrap();
    let bytes = std::fs::read(default_bundle().join("bundle.json")).unwrap();
    let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
    let graph = manifest.files["model.onnx"].sha256.clone();
    let released = manifest.version.clone();
    let ask = |version: &str, graph: &str, bump: Option<Bump>| {
        let mut manifest = Manifest { version: version.to_owned(), ..manifest.clone() };
        graph.clone_into(&mut manifest.files.get_mut("model.onnx").unwrap().sha256);
        next(Some(&existing), &manifest, bump).map(|version| version.to_string())
    };
    assert_eq!(ask(&released, &graph, None).unwrap(), released, "the same model keeps its version");
    assert_eq!(ask(&released, &graph, Some(Bump::Minor)).unwrap(), released, "and is released once");
    let mut stricter = manifest.clone();
    stricter.acceptance.min_side_px += 1;
    assert!(next(Some(&existing), &stricter, None).is_err(), "which images it refuses is an answer");
    let error = ask(&released, "other", None).unwrap_err().to_string();
    assert!(error.contains("other weights") && error.contains("--bump"), "{error}");
    assert!(ask("0.9.0", "other", None).is_err(), "no newer model under an older version");
    assert_eq!(ask("99.0.0", "other", None).unwrap(), "99.0.0");
    assert!(format!("{:#}", ask("1.0", "other", None).unwrap_err()).contains("trainer.export.version"));
    let parts: Vec<u64> = released.split('.').map(|part| part.parse().unwrap()).collect();
    for (bump, expected) in [
        (Bump::Patch, [parts[0], parts[1], parts[2] + 1]),
        (Bump::Minor, [parts[0], parts[1] + 1, 0]),
        (Bump::Major, [parts[0] + 1, 0, 0]),
    ] {
        assert_eq!(
            ask(&released, "other", Some(bump)).unwrap(),
            expected.map(|part| part.to_string()).join(".")
        );
    }
    let nothing = next(None, &manifest, Some(Bump::Minor)).unwrap_err().to_string();
    assert!(nothing.contains("--bump"), "{nothing}");
}

#[test]
fn a_run_is_released_and_its_next_calibration_is_another_version() {
    let workbench = Workbench::new(60, 8);
    succeed(&mut workbench.command("train"));
    let prepare = || {
        succeed(&mut workbench.command("calibrate"));
        for fold in ["select", "calibrate", "test"] {
            succeed(workbench.command("evaluate").args(["--fold", fold, "--reason", "the gates want it"]));
        }
    };
    let report = workbench.path().join("report.md");
    std::fs::write(&report, "# Report\n").unwrap();
    let release = |arguments: &[&str]| {
        let mut command = workbench.command("release");
        command.arg("--onnxruntime").arg(onnxruntime()).arg("--report").arg(&report).args(arguments);
        command
    };
    prepare();
    let printed = succeed(&mut release(&[]));
    assert!(printed.contains("registered cxr-pneumonia 1.0.0 as version 1"), "{printed}");
    let bundle = workbench.path().join("bundle");
    assert_accepted(&bundle);
    assert!(bundle.join("REPORT.md").is_file() && !bundle.with_added_extension("partial").exists());
    let card = std::fs::read_to_string(bundle.join("MODEL_CARD.md")).unwrap();
    let headings: Vec<&str> = card.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected = "Verdict, Model details, Intended use, Factors, Metrics, Evaluation data, Training data, \
                    Quantitative analyses, Ethical considerations, Caveats and recommendations, Sources and licences";
    assert_eq!(headings.join(", "), expected, "{card}");

    let config = std::fs::read_to_string(workbench.config()).unwrap();
    std::fs::write(workbench.config(), config.replace("target_sensitivity: 0.9", "target_sensitivity: 0.6"))
        .unwrap();
    prepare();
    let printed = fail(&mut release(&[]));
    assert!(printed.contains("1.0.0 exists with") && printed.contains("--bump"), "{printed}");
    let printed = succeed(&mut release(&["--bump", "patch"]));
    assert!(printed.contains("registered cxr-pneumonia 1.0.1 as version 2"), "{printed}");
    let released = std::fs::read_to_string(workbench.run().join("release.json")).unwrap();
    assert!(
        released.contains("\"version\": \"1.0.1\"") && released.contains("\"number\": \"2\""),
        "{released}"
    );
}
