//! Decodes the pixels chunk by chunk, row by row and in pieces of a row.

use super::cancel_poll::CancelPoll;
use super::chunks::Chunks;
use super::grey::{Grey, planes};
use super::layout::{Layout, MAX_CHANNELS};
use super::sample::Sample;
use super::stream::{Stop, Stream};
use crate::cancel::Cancel;
use crate::decode::DecodeError;
use crate::decode::upscaled::UpscalingSearch;
use crate::image::Samples;

/// Pixels per piece: a multiple of 8, so that pieces of any depth start at a byte. With five channels of 16
/// bits a piece fits a stream's buffer.
const PIECE: usize = 4096;
pub(super) fn read<S: Sample>(
    chunks: &Chunks<'_>,
    layout: &Layout,
    samples: &mut [S],
    cancel: Cancel<'_>,
) -> Result<(), DecodeError> {
    Reader::new(chunks, layout, CancelPoll::new(cancel)).image(samples)
}

/// The samples of an image with more than 8 bits per sample. Files whose merged channels hold only 256 levels
/// are decoded a second time and give bytes, as for PNG: grey made of three channels has levels of its own.
pub(super) fn read_16_bit(
    chunks: &Chunks<'_>,
    layout: &Layout,
    cancel: Cancel<'_>,
) -> Result<Samples, DecodeError> {
    let mut samples = vec![0_u16; layout.n_pixels()];
    let mut reader = Reader::new(chunks, layout, CancelPoll::new(cancel));
    if !reader.grey.is_as_stored() {
        reader.search = Some(UpscalingSearch::new());
    }
    reader.image(&mut samples)?;
    let Some(levels) = reader.search.and_then(|search| search.levels()) else {
        return Ok(Samples::Wide(samples));
    };
    let mut reader = Reader::new(chunks, layout, CancelPoll::new(cancel));
    reader.grey.set_levels(levels);
    reader.image(&mut samples)?;
    Ok(Samples::Narrow(samples.iter().map(|sample| *sample as u8).collect()))
}

struct Reader<'a, S> {
    chunks: &'a Chunks<'a>,
    layout: &'a Layout,
    grey: Grey<'a>,
    poll: CancelPoll<'a>,
    /// Searches the colours for upscaled 8-bit data before they are merged.
    search: Option<UpscalingSearch>,
    /// One stream, or one per channel in a planar file.
    planes: Vec<Plane<'a, S>>,
    /// A piece with interleaved channels.
    pixels: Vec<S>,
    /// One channel of a piece.
    channel: Vec<S>,
}

/// One stream of bytes and its position.
struct Plane<'a, S> {
    number: usize,
    chunk: usize,
    stream: Stream<'a>,
    /// The pixel to the left, for the predictor.
    before: [S; MAX_CHANNELS],
}

impl<'a, S: Sample> Reader<'a, S> {
    fn new(chunks: &'a Chunks<'a>, layout: &'a Layout, poll: CancelPoll<'a>) -> Self {
        let grey = Grey::of(layout);
        let n_planes = if layout.planar { grey.n_channels() } else { 1 };
        let plane = |number| {
            let stream = Stream::new(layout.compression, layout.reversed_bits);
            Plane { number, chunk: 0, stream, before: [S::default(); MAX_CHANNELS] }
        };
        let n_apart = if grey.is_as_stored() { 0 } else { PIECE };
        Self {
            planes: planes(layout).take(n_planes).map(plane).collect(),
            pixels: vec![S::default(); n_apart * grey.n_channels()],
            channel: vec![S::default(); n_apart],
            chunks,
            layout,
            grey,
            poll,
            search: None,
        }
    }

    fn image(&mut self, samples: &mut [S]) -> Result<(), DecodeError> {
        (0..self.chunks.n_across * self.chunks.n_down).try_for_each(|chunk| self.chunk(chunk, samples))
    }

    fn chunk(&mut self, chunk: usize, samples: &mut [S]) -> Result<(), DecodeError> {
        let (chunks, image_width) = (self.chunks, self.layout.width as usize);
        let n_rows = chunks.rows(chunk);
        for plane in &mut self.planes {
            plane.chunk = chunks.in_plane(chunk, plane.number);
            plane.stream.open(chunks.bytes(plane.chunk)?, n_rows * chunks.row_bytes, &mut self.poll)?;
        }
        let (left, top) = (chunk % chunks.n_across * chunks.width, chunk / chunks.n_across * chunks.height);
        // Rows without a gap between them are read as one long row.
        let n_joined = if self.rows_join() { n_rows } else { 1 };
        let n_columns = chunks.width.min(image_width - left) * n_joined;
        for row in (top..top + n_rows).step_by(n_joined) {
            let begin = row * image_width + left;
            self.row(chunks.width * n_joined, &mut samples[begin..begin + n_columns])?;
        }
        for plane in &mut self.planes {
            plane.stream.close(&mut self.poll).map_err(|stop| plane.error(chunks, &stop))?;
        }
        Ok(())
    }

    fn rows_join(&self) -> bool {
        let (chunks, layout) = (self.chunks, self.layout);
        let n_channels = if layout.planar { 1 } else { layout.n_channels };
        let fills_bytes = chunks.row_bytes * 8 == chunks.width * n_channels * usize::from(layout.bits);
        chunks.width == layout.width as usize && fills_bytes && !layout.differences
    }

    /// Decodes one row of a chunk of `width` pixels. `line` is the part of it inside the image.
    fn row(&mut self, width: usize, line: &mut [S]) -> Result<(), DecodeError> {
        for plane in &mut self.planes {
            plane.before = [S::default(); MAX_CHANNELS];
        }
        for begin in (0..width).step_by(PIECE) {
            let end = width.min(begin + PIECE);
            let visible = begin.min(line.len())..end.min(line.len());
            self.piece(end - begin, &mut line[visible])?;
        }
        Ok(())
    }

    /// Decodes `n_pixels` of a row. `into` is the part of them inside the image.
    fn piece(&mut self, n_pixels: usize, into: &mut [S]) -> Result<(), DecodeError> {
        let (chunks, layout, n_channels) = (self.chunks, self.layout, self.grey.n_channels());
        self.poll.count(n_pixels)?;
        if self.grey.is_as_stored() {
            return self.planes[0].read(chunks, layout, [n_pixels, 1], into, &mut self.poll);
        }
        let pixels = &mut self.pixels[..into.len() * n_channels];
        if layout.planar {
            let channel = &mut self.channel[..into.len()];
            for (number, plane) in self.planes.iter_mut().enumerate() {
                plane.read(chunks, layout, [n_pixels, 1], channel, &mut self.poll)?;
                for (pixel, sample) in pixels.chunks_exact_mut(n_channels).zip(&*channel) {
                    pixel[number] = *sample;
                }
            }
        } else {
            self.planes[0].read(chunks, layout, [n_pixels, n_channels], pixels, &mut self.poll)?;
        }
        if let Some(search) = &mut self.search {
            search.observe(self.grey.colours(pixels));
        }
        self.grey.merge(pixels, into);
        Ok(())
    }
}

impl<S: Sample> Plane<'_, S> {
    /// Reads the next `n_pixels` and stores as many as `into` has room for.
    fn read(
        &mut self,
        chunks: &Chunks<'_>,
        layout: &Layout,
        [n_pixels, n_channels]: [usize; 2],
        into: &mut [S],
        poll: &mut CancelPoll<'_>,
    ) -> Result<(), DecodeError> {
        let n_bytes = (n_pixels * n_channels * usize::from(layout.bits)).div_ceil(8);
        match self.stream.take(n_bytes, poll) {
            Ok(bytes) => S::unpack(bytes, layout.bits, layout.big_endian, into),
            Err(stop) => return Err(self.error(chunks, &stop)),
        }
        if layout.differences {
            undo_differences(into, &mut self.before[..n_channels]);
        }
        Ok(())
    }

    fn error(&self, chunks: &Chunks<'_>, stop: &Stop) -> DecodeError {
        match stop {
            Stop::Short => chunks.too_short(self.chunk).into(),
            Stop::Damaged => chunks.damaged(self.chunk).into(),
            Stop::Cancelled(cancelled) => (*cancelled).into(),
        }
    }
}

/// Undoes predictor 2: every sample is stored as the difference from the same channel of the pixel to the
/// left.
fn undo_differences<S: Sample>(samples: &mut [S], before: &mut [S]) {
    if let [before] = before {
        for sample in samples {
            *before = before.plus(*sample);
            *sample = *before;
        }
        return;
    }
    for pixel in samples.chunks_exact_mut(before.len()) {
        for (sample, before) in pixel.iter_mut().zip(&mut *before) {
            *before = before.plus(*sample);
            *sample = *before;
        }
    }
}
