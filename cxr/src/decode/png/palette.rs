//! Palette images. An index beyond the palette makes the file corrupt.

use super::{corrupt, luma_8_bit, on_black};
use crate::cancel::Cancel;
use crate::decode::DecodeError;
use png::{Info, OutputInfo};

/// Grey samples from rows of packed indices.
pub(super) fn grey(
    info: &Info<'_>,
    frame: &OutputInfo,
    packed: &[u8],
    cancel: Cancel<'_>,
) -> Result<Vec<u8>, DecodeError> {
    let colours = info.palette.as_deref().ok_or_else(|| corrupt("the PNG lacks its palette (PLTE)"))?;
    let alphas = info.trns.as_deref().unwrap_or_default();
    let shown = |(index, colour): (usize, &[u8; 3])| {
        let alpha = alphas.get(index).copied().unwrap_or(255);
        on_black::<255>(luma_8_bit(*colour).into(), alpha.into()) as u8
    };
    let table: Vec<u8> = colours.as_chunks::<3>().0.iter().enumerate().map(shown).collect();
    let bits = frame.bit_depth as usize;
    let (width, mask) = (frame.width as usize, ((1_u16 << bits) - 1) as u8);
    let mut samples = Vec::with_capacity(width * frame.height as usize);
    for row in packed.chunks_exact(frame.line_size) {
        cancel.check()?;
        for column in 0..width {
            let first_bit = column * bits;
            let index = row[first_bit / 8] >> (8 - bits - first_bit % 8) & mask;
            let sample = table.get(usize::from(index)).ok_or_else(|| {
                corrupt(format!("the PNG uses colour {index} of a palette that has {}", table.len()))
            })?;
            samples.push(*sample);
        }
    }
    Ok(samples)
}
