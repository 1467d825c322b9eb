//! Transfer functions. Samples are used as stored, as in JPEG and TIFF. A PNG that declares an unusual
//! transfer function would look different in a viewer that applies it, so it is rejected.

use crate::reject::{RejectReason, Rejection};
use png::Info;

/// Exponents that count as usual, in units of 1/100,000 (PNG, gAMA): 1/2.4 to 1/2.0, around 1/2.2.
const USUAL_GAMMA: std::ops::RangeInclusive<u32> = 41_600..=50_000;
/// Transfer functions of ITU-T H.273 that count as usual: BT.709, BT.601, sRGB and BT.2020.
const USUAL_TRANSFERS: [u8; 5] = [1, 6, 13, 14, 15];

/// Rejects an unusual transfer function in gAMA or cICP. sRGB and cICP take precedence over gAMA.
pub(super) fn check(info: &Info<'_>) -> Result<(), Rejection> {
    let gamma = info.gama_chunk.map(png::ScaledFloat::into_scaled);
    match (info.coding_independent_code_points, gamma) {
        (Some(code), _) if !USUAL_TRANSFERS.contains(&code.transfer_function) => {
            Err(unsupported(format!("a PNG with transfer function {} (cICP)", code.transfer_function)))
        }
        (None, Some(gamma)) if info.srgb.is_none() && !USUAL_GAMMA.contains(&gamma) => {
            Err(unsupported(format!("a PNG with gamma {:.5} (gAMA)", f64::from(gamma) / 1e5)))
        }
        _ => Ok(()),
    }
}

fn unsupported(found: String) -> Rejection {
    let advice = "save the image as sRGB, with gamma 0.45455, or without gamma information";
    Rejection::new(RejectReason::UnsupportedPixelFormat, found, advice)
}
