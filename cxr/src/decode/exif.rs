//! The orientation from an Exif block in JPEG (APP1) or PNG (eXIf).
//!
//! Only one tag is needed, and other programs often damage these blocks. A complete Exif parser could fail on
//! tags that do not matter here. An unreadable block counts as absent.

use crate::image::Orientation;

/// Tag 274 (0x0112) of the first directory (Exif 3.0, 4.5.4 and 4.6.4; TIFF 6.0 section 2).
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// Orientation in a block that starts at its TIFF header; `None` if it is missing or invalid.
pub(super) fn orientation(block: &[u8]) -> Option<Orientation> {
    let big_endian = match block.get(..2)? {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes: [u8; 4] = block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    if short(2)? != 42 {
        return None;
    }
    let directory = long(4)? as usize;
    let n_entries = usize::from(short(directory)?);
    let entry = (0..n_entries)
        .map(|index| directory + 2 + 12 * index)
        .find(|at| short(*at).is_none_or(|tag| tag == ORIENTATION))?;
    let value = match (short(entry + 2)?, long(entry + 4)?) {
        (SHORT, 1) => u32::from(short(entry + 8)?),
        (LONG, 1) => long(entry + 8)?,
        _ => return None,
    };
    Orientation::from_tag(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(big_endian: bool, kind: u16, count: u32, value: u32) -> Vec<u8> {
        let short = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        bytes.extend([short(42).as_slice(), &long(8), &short(2)].concat());
        // ImageWidth comes first: the entry must be searched for.
        bytes.extend([short(0x0100).as_slice(), &short(SHORT), &long(1), &short(640), &[0, 0]].concat());
        let stored =
            if kind == SHORT { [short(value as u16), [0, 0]].concat() } else { long(value).to_vec() };
        bytes.extend([short(ORIENTATION).as_slice(), &short(kind), &long(count), &stored].concat());
        bytes.extend(long(0));
        bytes
    }

    #[test]
    fn both_byte_orders_and_both_integers_are_read() {
        for big_endian in [false, true] {
            for kind in [SHORT, LONG] {
                for value in 0..10 {
                    assert_eq!(orientation(&block(big_endian, kind, 1, value)), Orientation::from_tag(value));
                }
            }
        }
    }

    #[test]
    fn a_broken_block_says_nothing() {
        let whole = block(false, SHORT, 1, 6);
        for cut in 0..whole.len() - 6 {
            assert_eq!(orientation(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7F, 0xFF] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                orientation(&damaged);
            }
        }
        assert_eq!(orientation(&block(false, SHORT, 2, 6)), None);
        assert_eq!(orientation(&block(false, 5, 1, 6)), None);
        // A directory offset beyond the block.
        let far = [b"II\x2A\0".as_slice(), &[0xFF; 4], &whole[8..]].concat();
        assert_eq!(orientation(&far), None);
    }
}
