//! What a folder of radiographs holds, before anything is known of it.

use crate::config::data::Layout;
use crate::data::entry::OfficialSplit;
use crate::data::scan::{files_below, list};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes from which a format is told.
const HEAD: u64 = 512;

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) root: PathBuf,
    pub(super) layout: Layout,
    /// Files by class folder.
    pub(super) classes: BTreeMap<String, usize>,
    /// Files by format.
    pub(super) formats: BTreeMap<&'static str, usize>,
    /// Class folder and path below it of every image.
    pub(super) paths: Vec<(String, String)>,
    /// Files that could be the table: CSV with the columns file and patient.
    pub(super) tables: Vec<PathBuf>,
}

impl Look {
    /// Looks into every folder and at the first bytes of every file.
    pub(super) fn at(folder: &Path) -> Result<Self> {
        let root = folder.canonicalize().with_context(|| format!("{}: no such folder", folder.display()))?;
        ensure!(root.is_dir(), "{}: is not a folder", folder.display());
        let is_kaggle = root.join(OfficialSplit::Train.name()).is_dir();
        let layout = if is_kaggle { Layout::Kaggle } else { Layout::Flat };
        let mut look = Self {
            root,
            layout,
            classes: BTreeMap::new(),
            formats: BTreeMap::new(),
            paths: Vec::new(),
            tables: Vec::new(),
        };
        look.tables()?;
        if is_kaggle {
            for split in OfficialSplit::PUBLISHED.map(OfficialSplit::name) {
                if look.root.join(split).is_dir() {
                    look.classes(split)?;
                }
            }
        } else {
            look.classes("")?;
        }
        for name in files_below(&look.root, "")? {
            *look.formats.entry(format(&look.root.join(&name))?).or_default() += 1;
        }
        ensure!(
            look.formats.keys().any(|format| is_read(format)),
            "{}: holds no image that is read (JPEG, PNG, TIFF). DICOM must be exported as PNG or TIFF first",
            look.root.display()
        );
        Ok(look)
    }

    /// One line for people.
    pub(super) fn describe(&self) -> String {
        let counts = |counts: &mut dyn Iterator<Item = (&str, usize)>| {
            counts.map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
        };
        let formats = counts(&mut self.formats.iter().map(|(name, n)| (*name, *n)));
        let classes = counts(&mut self.classes.iter().map(|(name, n)| (name.as_str(), *n)));
        let layout = if self.layout == Layout::Kaggle {
            "split into train, val and test"
        } else {
            "no split of its own (the folds are drawn)"
        };
        format!(
            "{layout}; formats: {formats}; class folders: {}",
            if classes.is_empty() {
                "none (a table with the column label says the classes)"
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
                    // A note or a DICOM file has no patient to be found in its name: the index refuses it.
                    if is_read(format(&self.root.join(path))?) {
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

fn head(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    file.take(HEAD).read_to_end(&mut bytes).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(bytes)
}

fn is_read(format: &str) -> bool {
    ["JPEG", "PNG", "TIFF"].contains(&format)
}

fn format(path: &Path) -> Result<&'static str> {
    let bytes = head(path)?;
    if cxr::decode::is_dicom(&bytes) {
        return Ok("DICOM (not read)");
    }
    Ok(cxr::decode::sniff(&bytes).map_or("other files", cxr::image::Format::title))
}
