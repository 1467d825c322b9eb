//! Bundles for tests: copies of the default bundle with changes, signed with the development key, and damaged
//! ones.

use crate::root;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use serde_json::Value;
use std::path::Path;

/// Replaces a folder by a copy of the default bundle with another version, by renaming, as a release does.
pub fn copy(folder: &Path, version: &str) {
    let parent = folder.parent().expect("a folder in a folder");
    let made = tempfile::tempdir_in(parent).expect("a folder");
    let new = made.path().join("new");
    copy_folder(&root().join("models/default"), &new);
    edit(&new, |manifest| manifest["version"] = version.into());
    let old = made.path().join("old");
    if folder.exists() {
        std::fs::rename(folder, &old).expect("renaming");
    }
    std::fs::rename(&new, folder).expect("renaming");
}

/// Changes the manifest, updates the title of the model card, and signs the manifest again.
pub fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("bundle.json");
    let mut manifest: Value =
        serde_json::from_slice(&std::fs::read(&path).expect("a manifest")).expect("JSON");
    change(&mut manifest);
    retitle(&folder.join("MODEL_CARD.md"), &mut manifest);
    let bytes = serde_json::to_vec_pretty(&manifest).expect("JSON");
    let pem = std::fs::read_to_string(root().join("config/development-signing-key.pem")).expect("the key");
    let key = SigningKey::from_pkcs8_pem(&pem).expect("an Ed25519 key");
    let signature = cxr::bundle::sign(&bytes, &key);
    std::fs::write(&path, bytes).expect("writing");
    std::fs::write(folder.join("signature"), serde_json::to_vec(&signature).expect("JSON")).expect("writing");
}

/// Gives the model card the name and version of the manifest.
fn retitle(path: &Path, manifest: &mut Value) {
    let text = |key: &str| manifest[key].as_str().expect("a text").to_owned();
    let card = std::fs::read_to_string(path).expect("a card");
    let (_, rest) = card.split_once('\n').expect("a title");
    let card = format!("# {} {}\n{rest}", text("name"), text("version"));
    std::fs::write(path, &card).expect("writing");
    manifest["files"]["MODEL_CARD.md"] =
        serde_json::json!({ "sha256": cxr::bundle::sha256_hex(card.as_bytes()), "bytes": card.len() });
}

/// Flips a bit in the middle of a file.
pub fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("writing");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copying");
        }
    }
}
