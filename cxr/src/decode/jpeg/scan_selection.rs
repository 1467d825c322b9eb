//! Selects, from the headers alone, the scans that the grey image needs and how to decode them. Kinds that
//! cxr/tests/jpeg does not prove to be read correctly are rejected here by name.

use super::frame::{Frame, unsupported};
use super::headers::{Headers, Scan, ScanBits, ScanComponent};
use crate::decode::{corrupt, truncated};
use crate::reject::Rejection;

/// Most scans of a component in a progressive file; each is a pass over the whole image. libjpeg's script has
/// 6 for grey (`jpeg_simple_progression` in jcparam.c), the longest that mozjpeg tries for luma has 11.
const MAX_PASSES: usize = 20;

/// What the decoder is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// The first component as a grey file; its scans hold no other component.
    SingleComponent,
    /// Luma from scans that hold all components.
    Luma,
    /// All components in full, of which only the first is kept.
    YCbCr,
    Rgb,
}

/// The scans to decode, in order, and what to ask the decoder for.
#[derive(Debug)]
pub(super) struct ScanSelection {
    pub(super) output: Output,
    pub(super) scans: Vec<usize>,
}

impl ScanSelection {
    pub(super) fn of(headers: &Headers<'_>) -> Result<Self, Rejection> {
        let frame = &headers.frame;
        if frame.progressive {
            progressive(headers)?;
        } else {
            sequential(headers)?;
        }
        let all: Vec<usize> = (0..headers.scans.len()).collect();
        if frame.components.len() == 1 {
            return Ok(Self { output: Output::SingleComponent, scans: all });
        }
        if is_rgb(headers) {
            return rgb(headers).map(|output| Self { output, scans: all });
        }
        if frame.components[0].sampling != frame.largest_sampling() {
            return Err(unsupported("a JPEG that stores its luma at less than its full resolution"));
        }
        let scans: Vec<usize> = all.into_iter().filter(|&scan| holds(&headers.scans[scan], 0)).collect();
        let together = scans.iter().map(|&scan| headers.scans[scan].components.len()).max().unwrap_or(1);
        let output = match together {
            1 => Output::SingleComponent,
            3 => interleaved(frame)?,
            _ => return Err(unsupported("a JPEG with two of its three components in one scan")),
        };
        Ok(Self { output, scans })
    }
}

/// RGB or YCbCr, by libjpeg's rule (`default_decompress_parms` in jdapimin.c).
fn is_rgb(headers: &Headers<'_>) -> bool {
    let ids: Vec<u8> = headers.frame.components.iter().map(|component| component.id).collect();
    !headers.jfif && headers.adobe.map_or(ids == *b"RGB", |transform| transform == 0)
}

fn rgb(headers: &Headers<'_>) -> Result<Output, Rejection> {
    let largest = headers.frame.largest_sampling();
    if headers.frame.components.iter().any(|component| component.sampling != largest) {
        return Err(unsupported("a JPEG in RGB whose colours have different resolutions"));
    }
    if headers.scans[0].components.len() != 3 {
        return Err(unsupported("a JPEG in RGB with a separate scan for each colour"));
    }
    Ok(Output::Rgb)
}

/// Rejects samplings that the decoder gets wrong when components share a scan.
fn interleaved(frame: &Frame) -> Result<Output, Rejection> {
    let (width, height) = frame.largest_sampling();
    let mut factors = frame.components.iter().map(|component| component.sampling.0);
    if factors.any(|factor| factor == 3 || width % factor != 0) {
        return Err(unsupported("a JPEG whose components are sampled 3 to 1 or 3 to 2 along the rows"));
    }
    // At 1 x 2 the decoder misplaces rows if it is asked for luma alone.
    Ok(if (width, height) == (1, 2) { Output::YCbCr } else { Output::Luma })
}

fn holds(scan: &Scan<'_>, component: usize) -> bool {
    scan.components.iter().any(|part| part.index == component)
}

/// Every component must be in exactly one scan. The scan header's spectral selection has no meaning here.
fn sequential(headers: &Headers<'_>) -> Result<(), Rejection> {
    for component in 0..headers.frame.components.len() {
        match headers.scans.iter().filter(|scan| holds(scan, component)).count() {
            0 => return Err(truncated("JPEG")),
            1 => {}
            _ => return Err(corrupt("the JPEG has two scans for one component")),
        }
    }
    fits_in_mcu(headers)
}

/// Every bit of every coefficient must come once and in order (T.81 G.1.1.1), and those of the first
/// component must be complete. Otherwise a file could demand endless passes, or stop early and still look
/// whole.
fn progressive(headers: &Headers<'_>) -> Result<(), Rejection> {
    const UNSEEN: u8 = 0xFF;
    for component in 0..headers.frame.components.len() {
        let mut next_bit = [UNSEEN; 64];
        let mut n_passes = 0;
        for scan in headers.scans.iter().filter(|scan| holds(scan, component)) {
            n_passes += 1;
            let ScanBits { first, last, high, low } = scan.bits;
            let dc = first == 0 && last == 0;
            let ac = (1..=last).contains(&first) && last < 64 && scan.components.len() == 1;
            let expected = if high == 0 { UNSEEN } else { high };
            let dc_missing = ac && next_bit[0] == UNSEEN;
            let band = next_bit.get_mut(first.into()..=last.into());
            let band = band.filter(|_| (dc || ac) && low < 14 && (high == 0 || high == low + 1));
            let band = band.ok_or_else(|| corrupt("a scan of the JPEG has an invalid bit range"))?;
            if dc_missing || band.iter().any(|bit| *bit != expected) {
                return Err(corrupt("the JPEG's scans code the same bits twice or out of order"));
            }
            band.fill(low);
        }
        if n_passes > MAX_PASSES {
            return Err(unsupported(format!(
                "a JPEG with {n_passes} passes over its image, the limit is {MAX_PASSES}"
            )));
        }
        if component == 0 && next_bit.iter().any(|bit| *bit != 0) {
            return Err(truncated("JPEG"));
        }
    }
    fits_in_mcu(headers)
}

/// A scan of several components holds at most 10 blocks per MCU (T.81 B.2.3).
fn fits_in_mcu(headers: &Headers<'_>) -> Result<(), Rejection> {
    for scan in headers.scans.iter().filter(|scan| scan.components.len() > 1) {
        let blocks = |part: &ScanComponent| {
            let (h, v) = headers.frame.components[part.index].sampling;
            u32::from(h) * u32::from(v)
        };
        if scan.components.iter().map(blocks).sum::<u32>() > 10 {
            return Err(corrupt("a scan of the JPEG has more than 10 blocks per MCU"));
        }
    }
    Ok(())
}
