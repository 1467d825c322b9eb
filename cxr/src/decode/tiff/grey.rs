//! Converts pixels of one or more channels to grey.

use super::layout::{Colour, Layout};
use super::sample::Sample;
use crate::decode::upscaled::Levels;

/// Merges the interleaved channels of a pixel into one sample.
pub(super) struct Grey<'a> {
    colour: &'a Colour,
    n_channels: usize,
    alpha: Option<usize>,
    opaque: u16,
    levels: Option<Levels>,
}

impl<'a> Grey<'a> {
    /// For interleaved pixels as the file stores them, or in the order of [`planes`].
    pub(super) const fn of(layout: &'a Layout) -> Self {
        let n_colours = layout.colour.n_channels();
        let (n_channels, alpha) = match layout.alpha {
            None if layout.planar => (n_colours, None),
            Some(_) if layout.planar => (n_colours + 1, Some(n_colours)),
            alpha => (layout.n_channels, alpha),
        };
        let opaque = ((1u32 << layout.bits) - 1) as u16;
        Self { colour: &layout.colour, n_channels, alpha, opaque, levels: None }
    }

    /// Maps samples back to 256 levels from now on. Alpha keeps its high bits, because writers that shift the
    /// grey set an opaque alpha to the highest value.
    pub(super) fn set_levels(&mut self, levels: Levels) {
        self.levels = Some(levels);
    }

    /// The colour samples, without alpha and other extra channels.
    pub(super) fn colours<S: Sample>(&self, stored: &[S]) -> impl Iterator<Item = u16> {
        let n_colours = self.colour.n_channels();
        stored
            .chunks_exact(self.n_channels)
            .flat_map(move |pixel| &pixel[..n_colours])
            .map(|sample| sample.value())
    }

    /// Channels per pixel in the input of [`merge`](Self::merge).
    pub(super) const fn n_channels(&self) -> usize {
        self.n_channels
    }

    /// Whether the stored samples are the image's samples.
    pub(super) const fn is_as_stored(&self) -> bool {
        matches!(self.colour, Colour::Grey) && self.n_channels == 1
    }

    /// Merges as many pixels as `into` has room for.
    pub(super) fn merge<S: Sample>(&self, stored: &mut [S], into: &mut [S]) {
        if let Some(levels) = &self.levels {
            self.undo_upscaling(levels, stored);
        }
        match (self.colour, self.n_channels) {
            (Colour::Palette(palette), _) => {
                for (sample, index) in into.iter_mut().zip(stored) {
                    *sample =
                        S::of(palette.get(usize::from(index.value())).copied().unwrap_or_default().into());
                }
            }
            (Colour::Grey, n) => {
                for (sample, pixel) in into.iter_mut().zip(stored.chunks_exact(n)) {
                    *sample = self.on_black(pixel[0], pixel);
                }
            }
            (Colour::Rgb, 3) => {
                for (sample, pixel) in into.iter_mut().zip(stored.as_chunks::<3>().0) {
                    *sample = S::luma(*pixel);
                }
            }
            (Colour::Rgb, n) => {
                for (sample, pixel) in into.iter_mut().zip(stored.chunks_exact(n)) {
                    *sample = self.on_black(S::luma([pixel[0], pixel[1], pixel[2]]), pixel);
                }
            }
        }
    }

    fn undo_upscaling<S: Sample>(&self, levels: &Levels, stored: &mut [S]) {
        let high_bits = self.opaque.count_ones() - 8;
        for pixel in stored.chunks_exact_mut(self.n_channels) {
            for (channel, sample) in pixel.iter_mut().enumerate() {
                let value = sample.value();
                let is_alpha = Some(channel) == self.alpha;
                *sample = S::of(if is_alpha { value >> high_bits } else { levels.level(value).into() });
            }
        }
    }

    /// The value composited over black, as for PNG.
    fn on_black<S: Sample>(&self, value: S, pixel: &[S]) -> S {
        let Some(alpha) = self.alpha else { return value };
        let opaque = if self.levels.is_some() { 255 } else { u32::from(self.opaque) };
        let shown = u32::from(value.value()) * u32::from(pixel[alpha].value()) + opaque / 2;
        S::of((shown / opaque) as u16)
    }
}

/// The channels to read from a planar file: the colours, then alpha.
pub(super) fn planes(layout: &Layout) -> impl Iterator<Item = usize> {
    (0..layout.colour.n_channels()).chain(layout.alpha)
}
