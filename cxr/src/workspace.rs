//! Buffers that a thread keeps from one image to the next.

use crate::image::Samples;
use crate::validate::AcceptedImage;
use fast_image_resize::Resizer;
use fast_image_resize::pixels::U16;

/// A buffer above this size is given back to the system after its image: 16 MiB hold the 8-bit samples of every
/// detector in common use, and a single huge upload must not stay in memory for as long as the service runs.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// What decoding and preprocessing reuse. One for each thread; results are the same as with a new one.
///
/// A buffer leaves with the image that is decoded into it and comes back by [`reclaim`](Self::reclaim); an image that
/// does not come back costs the next one an allocation and nothing else.
#[derive(Debug, Default)]
pub struct Workspace {
    narrow: Vec<u8>,
    pub(crate) resize: ResizeBuffers,
}

/// What the resize keeps.
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
    /// Takes the samples' buffer of an image that is done with.
    pub fn reclaim(&mut self, accepted: AcceptedImage) {
        if let Samples::Narrow(samples) = accepted.into_samples() {
            self.give_back(samples);
        }
        self.resize.shrink_to(MAX_KEPT_BYTES);
    }

    /// `size` zeros: nothing of an earlier image can show where a decoder leaves a gap.
    pub(crate) fn zeroed(&mut self, size: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.narrow);
        if buffer.capacity() < size {
            // New memory is zero when it is first touched: nothing to do for it before the decoder runs.
            return vec![0; size];
        }
        buffer.clear();
        buffer.resize(size, 0);
        buffer
    }

    /// Keeps the larger of this buffer and the one that is here, if it is not too large to be kept.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if (self.narrow.capacity()..=MAX_KEPT_BYTES).contains(&buffer.capacity()) {
            self.narrow = buffer;
        }
    }
}
