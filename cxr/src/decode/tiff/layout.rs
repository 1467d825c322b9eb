//! The pixel layout that a directory's tags describe. Unsupported layouts are rejected here.

use super::directory::Directory;
use super::unsupported;
use crate::decode::{check_pixels, corrupt, luma_8_bit};
use crate::image::{ColourMode, Orientation, Photometric};
use crate::limits::DecodeLimits;
use crate::reject::Rejection;

/// RGB and two extra samples (such as transparency and infrared).
pub(super) const MAX_CHANNELS: usize = 5;

mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOUR_MAP: u16 = 320;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Stored,
    Lzw,
    Deflate,
    PackBits,
}
#[derive(Debug)]
pub(super) enum Colour {
    Grey,
    Rgb,
    /// Grey value of each index.
    Palette(Box<[u8]>),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a tag with two values")]
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bits: u8,
    pub(super) big_endian: bool,
    pub(super) colour: Colour,
    pub(super) photometric: Photometric,
    pub(super) n_channels: usize,
    /// Index of the unassociated alpha channel.
    pub(super) alpha: Option<usize>,
    /// PlanarConfiguration 2: each channel has its own strips or tiles.
    pub(super) planar: bool,
    pub(super) compression: Compression,
    /// Predictor 2: samples are stored as differences from their left neighbour.
    pub(super) differences: bool,
    /// FillOrder 2: the least significant bit of each byte comes first.
    pub(super) reversed_bits: bool,
    pub(super) orientation: Orientation,
}

impl Layout {
    pub(super) fn of(directory: &Directory<'_>, limits: &DecodeLimits) -> Result<Self, Rejection> {
        let required = |tag, name| {
            let value = directory.value(tag)?;
            value.ok_or_else(|| corrupt(format!("the TIFF has no {name} (tag {tag})")))
        };
        let or = |tag, default| directory.value(tag).map(|value| value.unwrap_or(default));
        let (width, height) = (required(tag::WIDTH, "ImageWidth")?, required(tag::HEIGHT, "ImageLength")?);
        check_pixels(width, height, limits)?;
        let photometric = required(tag::PHOTOMETRIC, "PhotometricInterpretation")?;
        let n_channels = or(tag::SAMPLES_PER_PIXEL, 1)?;
        let compression = compression(or(tag::COMPRESSION, 1)?)?;
        check_sample_formats(directory)?;
        let bits = bits(directory, n_channels)?;
        let colour = colour(directory, photometric, bits, n_channels)?;
        let n_channels = n_channels as usize;
        let alpha = alpha(directory, colour.n_channels(), n_channels)?;
        if alpha.is_some() && photometric == 0 {
            return Err(unsupported::transparent_white_is_zero());
        }
        Ok(Self {
            width: u32::try_from(width).map_err(|_| corrupt("the TIFF's width needs more than 32 bits"))?,
            height: u32::try_from(height)
                .map_err(|_| corrupt("the TIFF's height needs more than 32 bits"))?,
            bits,
            big_endian: directory.big_endian(),
            colour,
            photometric: if photometric == 0 { Photometric::Monochrome1 } else { Photometric::Monochrome2 },
            n_channels,
            alpha,
            planar: n_channels > 1 && planar(or(tag::PLANAR, 1)?)?,
            compression,
            differences: differences(compression, or(tag::PREDICTOR, 1)?, bits)?,
            reversed_bits: reversed_bits(or(tag::FILL_ORDER, 1)?)?,
            orientation: orientation(or(tag::ORIENTATION, 1)?),
        })
    }

    pub(super) const fn n_pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Bits per sample after conversion to grey.
    pub(super) const fn grey_bits(&self) -> u8 {
        if matches!(self.colour, Colour::Palette(_)) { 8 } else { self.bits }
    }
}

impl Colour {
    /// Number of colour channels.
    pub(super) const fn n_channels(&self) -> usize {
        if matches!(self, Self::Rgb) { 3 } else { 1 }
    }

    pub(super) const fn mode(&self) -> ColourMode {
        match self {
            Self::Grey => ColourMode::Grey,
            Self::Rgb => ColourMode::Rgb,
            Self::Palette(_) => ColourMode::Palette,
        }
    }
}

fn compression(number: u64) -> Result<Compression, Rejection> {
    match number {
        1 => Ok(Compression::Stored),
        5 => Ok(Compression::Lzw),
        8 | 32946 => Ok(Compression::Deflate),
        32773 => Ok(Compression::PackBits),
        other => Err(unsupported::compression(other)),
    }
}

/// 1 is unsigned. 4 is undefined, which libtiff reads as unsigned.
fn check_sample_formats(directory: &Directory<'_>) -> Result<(), Rejection> {
    let Some(formats) = directory.values(tag::SAMPLE_FORMAT)? else { return Ok(()) };
    let other = formats.iter().take(MAX_CHANNELS).find(|format| !matches!(format, 1 | 4));
    other.map_or(Ok(()), |format| Err(unsupported::sample_format(format)))
}

fn bits(directory: &Directory<'_>, n_channels: u64) -> Result<u8, Rejection> {
    let Some(stored) = directory.values(tag::BITS_PER_SAMPLE)? else { return Ok(1) };
    let bits = stored.get(0).ok_or_else(|| corrupt("the TIFF's BitsPerSample has no value"))?;
    if stored.iter().take(n_channels.min(MAX_CHANNELS as u64) as usize).any(|other| other != bits) {
        return Err(unsupported::unequal_bits());
    }
    if (1..=16).contains(&bits) { Ok(bits as u8) } else { Err(unsupported::bits(bits)) }
}

fn colour(
    directory: &Directory<'_>,
    photometric: u64,
    bits: u8,
    n_channels: u64,
) -> Result<Colour, Rejection> {
    let colour = match photometric {
        0 | 1 => Colour::Grey,
        2 => Colour::Rgb,
        3 if bits <= 8 && n_channels == 1 => Colour::Palette(palette(directory, bits)?),
        3 => return Err(unsupported::palette(bits.into(), n_channels)),
        other => return Err(unsupported::photometric(other)),
    };
    if n_channels < colour.n_channels() as u64 {
        return Err(corrupt(format!("an RGB TIFF with SamplesPerPixel {n_channels}")));
    }
    if n_channels > MAX_CHANNELS as u64 {
        return Err(unsupported::channels(n_channels));
    }
    Ok(colour)
}

/// Grey value of each index. Colour maps have 16-bit values, but some old writers used only 8 bits; libtiff
/// detects them in the same way.
fn palette(directory: &Directory<'_>, bits: u8) -> Result<Box<[u8]>, Rejection> {
    let n_colours = 1usize << bits;
    let map = directory.values(tag::COLOUR_MAP)?.filter(|map| map.len() >= 3 * n_colours);
    let map = map.ok_or_else(|| corrupt("the TIFF's palette does not have a colour for every index"))?;
    let shift = if map.iter().take(3 * n_colours).all(|value| value < 256) { 0 } else { 8 };
    let value = |index| (map.get(index).unwrap_or_default() >> shift) as u8;
    let grey = |index| luma_8_bit([value(index), value(n_colours + index), value(2 * n_colours + index)]);
    Ok((0..n_colours).map(grey).collect())
}

/// Index of the unassociated alpha channel (kind 2). Colours with associated alpha (kind 1) are already
/// multiplied by it, so they are right for a black background.
fn alpha(directory: &Directory<'_>, n_colours: usize, n_channels: usize) -> Result<Option<usize>, Rejection> {
    let Some(extra) = directory.values(tag::EXTRA_SAMPLES)? else { return Ok(None) };
    let first =
        extra.iter().take(n_channels - n_colours).zip(n_colours..).find(|(kind, _)| matches!(kind, 1 | 2));
    Ok(first.and_then(|(kind, channel)| (kind == 2).then_some(channel)))
}

fn planar(configuration: u64) -> Result<bool, Rejection> {
    match configuration {
        1 => Ok(false),
        2 => Ok(true),
        other => Err(corrupt(format!("the TIFF's PlanarConfiguration is {other}"))),
    }
}

/// The predictor belongs to LZW and Deflate; libtiff ignores the tag with other compressions.
fn differences(compression: Compression, predictor: u64, bits: u8) -> Result<bool, Rejection> {
    match (compression, predictor) {
        (Compression::Stored | Compression::PackBits, _) | (_, 1) => Ok(false),
        (_, 2) if matches!(bits, 8 | 16) => Ok(true),
        (_, other) => Err(unsupported::predictor(other, bits)),
    }
}

fn reversed_bits(fill_order: u64) -> Result<bool, Rejection> {
    match fill_order {
        1 => Ok(false),
        2 => Ok(true),
        other => Err(corrupt(format!("the TIFF's FillOrder is {other}"))),
    }
}

/// Undefined values are ignored, as libtiff does.
fn orientation(value: u64) -> Orientation {
    u32::try_from(value).ok().and_then(Orientation::from_tag).unwrap_or_default()
}
