//! Section 2: from file to model input, augmentation, division.

use super::document::Document;
use super::sources::Sources;
use super::text::key;
use crate::config::Augmentation;
use crate::data::eda::examined::Properties;
use crate::model::{IMAGENET_DEVIATION, IMAGENET_MEAN};
use cxr::analysis::summary::Summary;
use cxr::preprocess::ResizeMode;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    let config = sources.config();
    let served = config.served_preprocess();
    document.section("2. Processing");
    document.item("Resize", format_args!("{} x {} pixels", served.width, served.height));
    document.item(
        "Aspect ratio",
        match served.resize {
            ResizeMode::Squash => "both sides are scaled on their own (squash)",
            ResizeMode::Letterbox => "kept; the rest is filled (letterbox)",
        },
    );
    document.item(
        "Normalisation",
        format_args!("ImageNet statistics, mean {IMAGENET_MEAN:?}, standard deviation {IMAGENET_DEVIATION:?}, inside the network"),
    );
    match served.clahe {
        Some(clahe) => document.item("Contrast enhancement", format_args!("CLAHE {}", key(&clahe))),
        None => document.item("Contrast enhancement", "none (preprocess.clahe is null)"),
    }
    match served.stored_jpeg_quality {
        Some(quality) => document.item(
            "Stored copies",
            format_args!(
                "whatever is scored goes through a JPEG file of quality {quality} at the model's size; {}",
                training_files(sources)
            ),
        ),
        None => document.item("Stored copies", "nothing is compressed again"),
    }
    augmentation(sources, document);
    division(sources, document);
}

/// Whether the images of the data are such files already: training puts them through none.
fn training_files(sources: &Sources) -> String {
    let served = sources.config().served_preprocess();
    match &sources.eda {
        Err(why) => format!("whether the training images are such files is not known ({why})"),
        Ok(eda) => {
            let is_one = |of: &Properties| {
                let is = |found: &Summary, side: u32| {
                    (found.min - f64::from(side)).abs() < 0.5 && (found.max - f64::from(side)).abs() < 0.5
                };
                is(&of.width, served.width)
                    && is(&of.height, served.height)
                    && of.formats.keys().all(|format| format == "jpeg")
            };
            if eda.images.properties.values().all(is_one) {
                "the training images are JPEG files of that size".to_owned()
            } else {
                "the training images are NOT all JPEG files of that size, and training puts them through none \
                 (trainer.stored_jpeg_quality: null would leave the others as they are)"
                    .to_owned()
            }
        }
    }
}

fn augmentation(sources: &Sources, document: &mut Document) {
    let a = &sources.config().augmentation;
    document.heading("Augmentation of the train fold");
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let rows = [
        (
            "horizontal flip",
            percent(a.flip_probability),
            "mirrored left to right; never upside down".to_owned(),
        ),
        ("rotation", percent(a.warp_probability), format!("up to {} degrees", a.rotation_degrees)),
        ("translation", percent(a.warp_probability), format!("up to {} of the side", percent(a.translation))),
        ("magnification", percent(a.warp_probability), format!("{} to {}", a.scale[0], a.scale[1])),
        (
            "aspect ratio",
            percent(a.warp_probability),
            format!("up to a factor of e^{}, either way", a.aspect),
        ),
        ("brightness", "100 %".to_owned(), format!("up to {} of white", percent(a.brightness))),
        ("contrast", "100 %".to_owned(), format!("changed by up to {}", percent(a.contrast))),
        ("gamma", "100 %".to_owned(), format!("exponent e^g, |g| up to {}", a.gamma)),
        (
            "noise",
            "100 %".to_owned(),
            format!("Gaussian, standard deviation up to {} of white", percent(a.noise)),
        ),
        (
            "detail",
            percent(a.detail_probability),
            format!("fine detail times {} to {}", a.detail_gain[0], a.detail_gain[1]),
        ),
        (
            "frame",
            percent(a.frame_probability),
            format!("from another image of either class, up to {} wide", percent(a.frame_width)),
        ),
        (
            "corners",
            percent(a.occlusion_probability),
            format!("covered, sides up to {}", percent(a.occlusion_side)),
        ),
        (
            "letters",
            percent(a.letters_probability),
            "burned in at random places, whatever the class".to_owned(),
        ),
        (
            "JPEG",
            percent(a.jpeg_probability),
            format!("quality {} to {}", a.jpeg_quality[0], a.jpeg_quality[1]),
        ),
    ];
    document.table(
        ["variation", "share of images", "amount"],
        rows.map(|(what, share, amount)| [what.to_owned(), share, amount]),
    );
    document.paragraph("No vertical flips; geometry is one affine resampling, computed on the device.");
    let beyond = beyond_the_usual(a);
    document.item(
        "Beyond the usual limits (10 degrees, 5 %, 0.95 to 1.05, no stretch, 10 % brightness and contrast)",
        if beyond.is_empty() {
            "nothing".to_owned()
        } else {
            let gain = if sources.ablation.is_ok() {
                "what such variation gains is in section 6 under mitigation"
            } else {
                "`report --ablation` would say what such variation gains"
            };
            format!("{}; {gain}", beyond.join(", "))
        },
    );
}

/// Variations that exceed what training on radiographs usually allows itself.
fn beyond_the_usual(a: &Augmentation) -> Vec<String> {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let found = [
        (a.rotation_degrees > 10.0).then(|| format!("rotation {} degrees", a.rotation_degrees)),
        (a.translation > 0.05).then(|| format!("translation {}", percent(a.translation))),
        (a.scale[0] < 0.95 || a.scale[1] > 1.05)
            .then(|| format!("magnification {} to {}", a.scale[0], a.scale[1])),
        (a.aspect > 0.0).then(|| format!("stretch up to e^{}", a.aspect)),
        (a.brightness > 0.1).then(|| format!("brightness {}", percent(a.brightness))),
        (a.contrast > 0.1).then(|| format!("contrast {}", percent(a.contrast))),
    ];
    found.into_iter().flatten().collect()
}

fn division(sources: &Sources, document: &mut Document) {
    let data = &sources.config().data;
    document.heading("Split");
    document.item(
        "Ratios",
        format_args!(
            "select {}, calibrate {}, {}the rest trains; stratified by class, grouped by patient, seed {}",
            data.select_fraction,
            data.calibrate_fraction,
            if sources.census.test_is_drawn {
                format!("test {}, ", data.test_fraction)
            } else {
                String::new()
            },
            sources.trained.folds.seed
        ),
    );
    document.item(
        "Roles",
        "select chooses the epoch, calibrate fits probability and operating point, every look at test is entered in the ledger",
    );
    document.item(
        "Test fold",
        if sources.census.test_is_drawn {
            "drawn from all images by patient"
        } else {
            "the test split that came with the data"
        },
    );
    document.found(
        "Leakage check",
        &sources.split.as_ref().map_err(Clone::clone).map(|split| {
            format!(
                "{} patients, {} exact and {} near duplicates in two folds ({} pairs compared)",
                split.leakage.patients.len(),
                split.leakage.exact.len(),
                split.leakage.near.len(),
                split.n_compared
            )
        }),
    );
    document.found(
        "Digest of the folds",
        &sources.split.as_ref().map_err(Clone::clone).map(|s| format!("`{}`", s.folds_sha256)),
    );
}
