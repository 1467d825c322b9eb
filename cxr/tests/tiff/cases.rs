//! Files that were once read wrongly, if present (`CXR_DATA_DIR`, else `../shared/data` beside the checkout).
//! The other modules generate the same kinds.

use crate::{grey, read, writer::Picture};
use cxr::image::ColourMode;
use std::path::{Path, PathBuf};

fn cases() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("CXR_DATA_DIR").map_or_else(beside, PathBuf::from).join("cases");
    if !path.is_dir() {
        println!("skipped: no real data (cases is not there; set CXR_DATA_DIR)");
        return None;
    }
    Some(path)
}

#[test]
fn files_of_the_field_give_the_pixels_of_their_twins() {
    let Some(root) = cases() else { return };
    let file = |name: &str| read(&std::fs::read(root.join(name)).unwrap()).unwrap();
    for name in ["tiff-fillorder2", "tiff-tiled-lzw"] {
        let (image, twin) = (file(&format!("{name}.tif")), file(&format!("{name}.same-pixels.png")));
        assert!(image.samples() == twin.samples(), "{name}");
    }
    let (image, colour) = (file("tiff-thumbnail-ifd.tif"), file("tiff-rgb-lzw.tif"));
    assert_eq!((image.width(), image.height()), (523, 487));
    assert_eq!((colour.colour(), colour.width()), (ColourMode::Rgb, 523));
    // Red, green and blue are equal, so the luma is the grey image.
    let same =
        Picture { width: 523, height: 487, channels: 1, bits: 8, samples: colour.samples().into_owned() };
    assert!(grey(&same) == image.samples().as_ref());
}
