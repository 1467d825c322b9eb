//! The legend: a picture to show beside a heatmap, with the colours and their limits.

use super::ColourScale;
use crate::lettering;
use png::{BitDepth, ColorType, Encoder};

/// What a heatmap cannot show. Also part of every heatmap's text chunks.
pub const LIMITS: &str = "Shows where the network found evidence for the class, on one scale for all images. It does not localise \
    disease: the strongest place can be the same, often the heart, whether the answer is right or wrong.";

/// Image pixels per font pixel.
const SCALE: u32 = 2;
/// Line height in pixels.
const LINE: u32 = 10 * SCALE;
const MARGIN: u32 = 12;
const WIDTH: u32 = 640;
/// Height of the colour bar.
const BAR: u32 = 20;
/// Grey level under the colours, between lung and mediastinum.
const GREY: u8 = 96;
/// The legend of a scale as an RGB PNG.
pub fn legend(scale: ColourScale, class: &str) -> Vec<u8> {
    let title = format!("EVIDENCE FOR {class}");
    let above = [title.as_str(), "ONE SCALE FOR ALL IMAGES, BELOW IT NOTHING IS DRAWN"];
    let below = [
        "NO LOCALISATION OF DISEASE:",
        "THE STRONGEST PLACE CAN BE THE SAME, OFTEN THE",
        "HEART, IN RIGHT AND WRONG ANSWERS.",
    ];
    let bar_top = MARGIN + above.len() as u32 * LINE;
    let ends_top = bar_top + BAR + SCALE * 2;
    let below_top = ends_top + LINE + SCALE * 2;
    let height = below_top + below.len() as u32 * LINE + MARGIN - 2 * SCALE;
    let mut grey = vec![0; (WIDTH * height) as usize];
    let mut write = |at: (u32, u32), text: &str| lettering::draw(&mut grey, WIDTH, at, text, SCALE, 220);
    for (line, text) in (0..).zip(above) {
        write((MARGIN, MARGIN + line * LINE), text);
    }
    let (low, high) = (format!("{:.2}", scale.low), format!("{:.2} AND MORE", scale.high));
    write((MARGIN, ends_top), &low);
    write((WIDTH - MARGIN - lettering::size(&high, SCALE).0, ends_top), &high);
    for (line, text) in (0..).zip(below) {
        write((MARGIN, below_top + line * LINE), text);
    }
    let mut pixels: Vec<u8> = grey.iter().flat_map(|level| [*level; 3]).collect();
    let columns = WIDTH - 2 * MARGIN;
    for row in bar_top..bar_top + BAR {
        for column in 0..columns {
            let index = 1 + (column * 254 / (columns - 1)) as u8;
            let at = 3 * (row * WIDTH + MARGIN + column) as usize;
            pixels[at..at + 3].copy_from_slice(&ColourScale::over(index, GREY));
        }
    }
    encode(&pixels, height)
}

fn encode(pixels: &[u8], height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, WIDTH, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    written.expect("writing to memory a picture whose size matches its header");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_and_every_letter_is_known() {
        let file = legend(ColourScale { low: 1.25, high: 12.5 }, "PNEUMONIA");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        // Nothing touches the right margin, so no line is cut off.
        let right = (WIDTH - MARGIN) as usize * 3;
        assert!(
            pixels.chunks_exact(WIDTH as usize * 3).all(|row| row[right..].iter().all(|level| *level == 0))
        );
        assert!(pixels.chunks_exact(3).any(|pixel| pixel[0] > pixel[2]), "the bar is coloured");
    }
}
