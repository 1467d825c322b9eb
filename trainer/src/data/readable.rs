//! Reads images, and finds those that cannot be decoded or accepted.

use super::entry::Entry;
use super::index::Index;
use super::parallel::parallel;
use crate::config::Config;
use crate::progress::Meter;
use anyhow::{Result, bail, ensure};
use cxr::metadata::AcquisitionMetadata;
use cxr::{AcceptedImage, DecodeLimits, DecodedImage};
use std::collections::BTreeMap;

/// Reason by path of each unusable image. Empty if none is allowed: decoding a fold fails then.
pub fn unreadable(index: &Index, config: &Config) -> Result<BTreeMap<String, String>> {
    if config.data.max_unreadable_share == 0.0 {
        return Ok(BTreeMap::new());
    }
    let meter = Meter::new("reading every image once", index.entries.len());
    let accept = |_, entry: &Entry| -> Result<()> {
        let image = decode(&read(index, entry)?)?;
        AcceptedImage::accept(image, AcquisitionMetadata::default(), &config.acceptance)?;
        Ok(())
    };
    let results = parallel(&index.entries, meter.bar(), accept)?;
    let results = results.into_iter().zip(&index.entries);
    let reason = |(result, entry): (Result<()>, &Entry)| {
        result.err().map(|error| (entry.path.clone(), format!("{error:#}")))
    };
    let unreadable = results.filter_map(reason).collect();
    check_share(index, &unreadable, config.data.max_unreadable_share)?;
    Ok(unreadable)
}

/// Fails if more than a share of all images cannot be used, and lists them.
pub fn check_share(index: &Index, unreadable: &BTreeMap<String, String>, allowed: f64) -> Result<()> {
    let share = unreadable.len() as f64 / index.entries.len().max(1) as f64;
    if share <= allowed {
        return Ok(());
    }
    let list: Vec<String> = unreadable.iter().map(|(path, reason)| format!("  {path}: {reason}")).collect();
    bail!(
        "{} images cannot be used, {:.2} % of {}; trainer.data.max_unreadable_share allows {:.2} %:\n{}",
        unreadable.len(),
        share * 100.0,
        index.entries.len(),
        allowed * 100.0,
        list.join("\n")
    )
}

/// What a file is if it is not an image, and what to do about it.
pub fn foreign(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        Some("is an empty file: copy it again, or move it out of the class folders")
    } else if cxr::decode::is_dicom(bytes) {
        Some(
            "is DICOM, which the trainer does not read: export it from the PACS or viewer as PNG or TIFF with all its bits",
        )
    } else if cxr::decode::sniff(bytes).is_none() {
        Some("is not a JPEG, PNG or TIFF image: convert it, or move it out of the class folders")
    } else {
        None
    }
}

pub fn decode(bytes: &[u8]) -> Result<DecodedImage> {
    if let Some(what) = foreign(bytes) {
        bail!("{what}");
    }
    Ok(cxr::decode(bytes, &DecodeLimits::default())?)
}

/// The bytes of an entry, which must have the indexed digest.
pub fn read(index: &Index, entry: &Entry) -> Result<Vec<u8>> {
    let bytes = std::fs::read(index.root.join(&entry.path))?;
    ensure!(cxr::bundle::sha256_hex(&bytes) == entry.sha256, "changed while it was being read");
    Ok(bytes)
}
