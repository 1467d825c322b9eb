//! The images: links to the first ones of each class. The official test split is not used.

use super::inputs::Host;
use anyhow::{Context, Result};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub(super) const CLASSES: [&str; 2] = ["NORMAL", "PNEUMONIA"];
/// Images per class of the repeated training: enough for some steps.
const N_REPEATED: usize = 160;

#[derive(Debug)]
pub(super) struct Subset {
    pub(super) folder: PathBuf,
    /// A smaller one, for the repeated training.
    pub(super) small: PathBuf,
    /// The files of the larger one, with alternating classes.
    pub(super) files: Vec<PathBuf>,
}

impl Subset {
    /// Links at most `n` images of each class; 0 links all.
    pub(super) fn link(host: &Host, n: usize) -> Result<Self> {
        let n = if n == 0 { usize::MAX } else { n };
        let (folder, small) = (host.work.join("data"), host.work.join("data-small"));
        let mut by_class = Vec::new();
        for class in CLASSES {
            let images = images(&host.data.join(class))?;
            link(&images, &folder.join(class), n)?;
            link(&images, &small.join(class), n.min(N_REPEATED))?;
            by_class.push(images.into_iter().take(n).collect::<Vec<_>>());
        }
        let turns = by_class.iter().map(Vec::len).max().unwrap_or(0);
        let files =
            (0..turns).flat_map(|turn| by_class.iter().filter_map(move |class| class.get(turn).cloned()));
        Ok(Self { folder, small, files: files.collect() })
    }
}

/// The files of a class folder, sorted, so that images of one patient stay together.
pub(super) fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("{}: cannot be listed", folder.display());
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).with_context(context)? {
        let path = file.with_context(context)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn link(images: &[PathBuf], folder: &Path, n: usize) -> Result<()> {
    // A reused work folder must not keep old links.
    let name = folder.display();
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("{name}: cannot be removed"))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("{name}: cannot be created"))?;
    for image in images.iter().take(n) {
        let link = folder.join(image.file_name().unwrap_or_default());
        symlink(image, link).with_context(|| format!("{}: cannot be linked", image.display()))?;
    }
    Ok(())
}
