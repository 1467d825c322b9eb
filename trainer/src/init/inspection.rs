//! Inspects a folder of radiographs before it has a configuration.

use crate::config::data::Layout;
use crate::data::count::listed;
use crate::data::entry::OfficialSplit;
use crate::data::scan::{files_below, head, list};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) root: PathBuf,
    pub(super) layout: Layout,
    pub(super) classes: BTreeMap<String, usize>,
    pub(super) formats: BTreeMap<&'static str, usize>,
    /// Class folder, and path below it, of every image.
    pub(super) paths: Vec<(String, String)>,
    /// CSV files with the columns file and patient.
    pub(super) tables: Vec<PathBuf>,
}

impl Inspection {
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let root = folder.canonicalize().with_context(|| format!("{}: no such folder", folder.display()))?;
        ensure!(root.is_dir(), "{}: is not a folder", folder.display());
        let is_kaggle = root.join(OfficialSplit::Train.name()).is_dir();
        let layout = if is_kaggle { Layout::Kaggle } else { Layout::Flat };
        let mut inspection = Self {
            root,
            layout,
            classes: BTreeMap::new(),
            formats: BTreeMap::new(),
            paths: Vec::new(),
            tables: Vec::new(),
        };
        inspection.tables()?;
        if is_kaggle {
            for split in OfficialSplit::PUBLISHED.map(OfficialSplit::name) {
                if inspection.root.join(split).is_dir() {
                    inspection.classes(split)?;
                }
            }
        } else {
            inspection.classes("")?;
        }
        for name in files_below(&inspection.root, "")? {
            *inspection.formats.entry(format(&inspection.root.join(&name))?).or_default() += 1;
        }
        ensure!(
            inspection.formats.keys().any(|format| is_supported(format)),
            "{}: contains no JPEG, PNG or TIFF image. Export DICOM files as PNG or TIFF first",
            inspection.root.display()
        );
        Ok(inspection)
    }

    pub(super) fn describe(&self) -> String {
        let (formats, classes) = (listed(&self.formats), listed(&self.classes));
        let layout = if self.layout == Layout::Kaggle {
            "split into train, val and test"
        } else {
            "no published split (all folds are drawn)"
        };
        format!(
            "{layout}; formats: {formats}; class folders: {}",
            if classes.is_empty() {
                "none (a table with the column label defines the classes)"
            } else {
                &classes
            }
        )
    }

    fn classes(&mut self, prefix: &str) -> Result<()> {
        for class in list(&self.root, prefix)? {
            let folder = if prefix.is_empty() { class.clone() } else { format!("{prefix}/{class}") };
            if self.root.join(&folder).is_dir() {
                let files = files_below(&self.root, &folder)?;
                for path in &files {
                    if is_supported(format(&self.root.join(path))?) {
                        self.paths.push((class.clone(), path[folder.len() + 1..].to_owned()));
                    }
                }
                *self.classes.entry(class).or_default() += files.len();
            }
        }
        Ok(())
    }

    fn tables(&mut self) -> Result<()> {
        for name in list(&self.root, "")? {
            let path = self.root.join(&name);
            if path.is_file() && name.to_lowercase().ends_with(".csv") {
                let text = String::from_utf8_lossy(&head(&path)?).to_lowercase();
                let columns: Vec<&str> =
                    text.lines().next().unwrap_or_default().split([',', ';']).map(str::trim).collect();
                if columns.contains(&"file") && columns.contains(&"patient") {
                    self.tables.push(path);
                }
            }
        }
        Ok(())
    }
}

fn is_supported(format: &str) -> bool {
    ["JPEG", "PNG", "TIFF"].contains(&format)
}

fn format(path: &Path) -> Result<&'static str> {
    let bytes = head(path)?;
    if cxr::decode::is_dicom(&bytes) {
        return Ok("DICOM (not supported)");
    }
    Ok(cxr::decode::sniff(&bytes).map_or("other files", cxr::image::Format::title))
}
