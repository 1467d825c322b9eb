//! Letters drawn into grey images: the burned-in markers of the robustness suite, and the captions of contact sheets.

/// Columns of a letter, in its own pixels.
const COLUMNS: u32 = 5;
/// Rows of a letter.
const ROWS: u32 = 7;
/// Columns from one letter to the next.
const ADVANCE: u32 = COLUMNS + 1;

/// Columns and rows that `text` takes up at `scale` image pixels a letter pixel.
pub fn size(text: &str, scale: u32) -> (u32, u32) {
    let n_letters = text.chars().count() as u32;
    ((n_letters * ADVANCE).saturating_sub(1) * scale, ROWS * scale)
}

/// Draws `text` with its top left corner at `(left, top)` into a row-major image of `width` columns. Small letters are
/// drawn as capitals, unknown characters as an empty box; what lies outside the image is cut off.
pub fn draw(pixels: &mut [u8], width: u32, (left, top): (u32, u32), text: &str, scale: u32, level: u8) {
    let height = pixels.len() as u32 / width.max(1);
    for (number, letter) in (0..).zip(text.chars()) {
        let start = left + number * ADVANCE * scale;
        for (row, bits) in (0u32..).zip(glyph(letter)) {
            for column in (0..COLUMNS).filter(|column| bits >> (COLUMNS - 1 - column) & 1 == 1) {
                let (x, y) = (start + column * scale, top + row * scale);
                for y in y..(y + scale).min(height) {
                    for x in x..(x + scale).min(width) {
                        pixels[(y * width + x) as usize] = level;
                    }
                }
            }
        }
    }
}

/// Seven rows of five bits, the leftmost highest.
#[rustfmt::skip]
const fn glyph(letter: char) -> [u8; ROWS as usize] {
    match letter.to_ascii_uppercase() {
        'A' => [0b00100, 0b01010, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001],
        'B' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110],
        'C' => [0b01111, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b01111],
        'D' => [0b11100, 0b10010, 0b10001, 0b10001, 0b10001, 0b10010, 0b11100],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000],
        'G' => [0b01111, 0b10000, 0b10000, 0b10011, 0b10001, 0b10001, 0b01111],
        'H' => [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'I' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b11111],
        'J' => [0b00111, 0b00001, 0b00001, 0b00001, 0b00001, 0b10001, 0b01110],
        'K' => [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001],
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b11001, 0b10101, 0b10011, 0b10011, 0b10001],
        'O' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'P' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
        'Q' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'V' => [0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b01010, 0b00100],
        'W' => [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001],
        'X' => [0b10001, 0b01010, 0b01010, 0b00100, 0b01010, 0b01010, 0b10001],
        'Y' => [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100],
        'Z' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111],
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b10100, 0b00100, 0b00100, 0b00100, 0b11111],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b00001, 0b11110],
        '6' => [0b01110, 0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00010, 0b00100, 0b00100, 0b00100],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00001, 0b01110],
        ' ' => [0; 7],
        '_' => [0, 0, 0, 0, 0, 0, 0b11111],
        '-' => [0, 0, 0, 0b01110, 0, 0, 0],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        ',' => [0, 0, 0, 0, 0b01100, 0b00100, 0b01000],
        ':' => [0, 0b01100, 0b01100, 0, 0b01100, 0b01100, 0],
        '%' => [0b11001, 0b11010, 0b00010, 0b00100, 0b01000, 0b01011, 0b10011],
        '=' => [0, 0, 0b11111, 0, 0b11111, 0, 0],
        '/' => [0b00001, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b10000],
        _ => [0b11111, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11111],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_take_the_size_they_say_and_are_cut_off_at_the_edge() {
        let mut pixels = vec![0; 40 * 20];
        draw(&mut pixels, 40, (2, 3), "EL", 2, 255);
        let lit: Vec<(u32, u32)> =
            (0..).zip(&pixels).filter(|(_, p)| **p == 255).map(|(i, _)| (i % 40, i / 40)).collect();
        let (width, height) = size("EL", 2);
        assert_eq!((width, height), (22, 14));
        assert_eq!(lit.iter().map(|p| p.0).min(), Some(2));
        assert_eq!(lit.iter().map(|p| p.0).max(), Some(2 + width - 1));
        assert_eq!(lit.iter().map(|p| p.1).max(), Some(3 + height - 1));
        draw(&mut pixels, 40, (36, 18), "W", 4, 255);
        assert_eq!(size("", 3).0, 0);
    }
}
