//! Buffers that a thread reuses for the next image.

use crate::image::Samples;
use crate::validate::AcceptedImage;
use fast_image_resize::Resizer;
use fast_image_resize::pixels::U16;

/// Larger buffers are freed after their image. 16 MiB hold the 8-bit samples of every common detector, and
/// one huge upload must not occupy memory for as long as the service runs.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Buffers that decoding and preprocessing reuse, one workspace per thread. Results do not depend on it.
///
/// A buffer leaves with the image that is decoded into it and returns by [`reclaim`](Self::reclaim). An image
/// that does not return only costs the next one an allocation.
#[derive(Debug, Default)]
pub struct Workspace {
    narrow: Vec<u8>,
    pub(crate) resize: ResizeBuffers,
}

/// Buffers of the resize.
#[derive(Debug, Default)]
pub(crate) struct ResizeBuffers {
    /// 8-bit path: one row at the source's width, already summed to the output's height.
    pub(crate) row: Vec<f32>,
    /// 16-bit path: the windowed image at the source's size.
    pub(crate) levels: Vec<U16>,
    pub(crate) resizer: Resizer,
}

impl ResizeBuffers {
    /// Frees everything if it exceeds `max_bytes` in total.
    fn shrink_to(&mut self, max_bytes: usize) {
        let bytes = self.row.capacity() * size_of::<f32>()
            + self.levels.capacity() * size_of::<U16>()
            + self.resizer.size_of_internal_buffers();
        if bytes > max_bytes {
            *self = Self::default();
        }
    }
}

impl Workspace {
    /// Takes back the sample buffer of an image that is no longer needed.
    pub fn reclaim(&mut self, accepted: AcceptedImage) {
        if let Samples::Narrow(samples) = accepted.into_samples() {
            self.give_back(samples);
        }
        self.resize.shrink_to(MAX_KEPT_BYTES);
    }

    /// A buffer of `size` zeros: no earlier image can show through where a decoder leaves a gap.
    pub(crate) fn zeroed(&mut self, size: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.narrow);
        if buffer.capacity() < size {
            // The system zeroes new memory on first access, which is cheaper than clearing it here.
            return vec![0; size];
        }
        buffer.clear();
        buffer.resize(size, 0);
        buffer
    }

    /// Keeps the larger of this buffer and the current one, unless it exceeds the limit.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if (self.narrow.capacity()..=MAX_KEPT_BYTES).contains(&buffer.capacity()) {
            self.narrow = buffer;
        }
    }
}
