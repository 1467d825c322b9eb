//! Orientation of stored rows and columns (Exif 3.0, tag 0x0112; TIFF 6.0, tag 274).

use super::{DecodedImage, Samples};
use crate::cancel::{Cancel, Cancelled};
use serde::{Deserialize, Serialize};

/// Side of the blocks that are transposed at a time: source and target fit into the first-level cache.
const TILE: usize = 32;

/// Side of the upright image on which the first stored row and the first stored column lie. The number is the
/// tag's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// Row on top, column at the left: stored upright.
    #[default]
    Upright = 1,
    /// Row on top, column at the right.
    MirroredHorizontally = 2,
    /// Row at the bottom, column at the right.
    Rotated180 = 3,
    /// Row at the bottom, column at the left.
    MirroredVertically = 4,
    /// Row at the left, column on top.
    Transposed = 5,
    /// Row at the right, column on top: turn by 90 degrees clockwise.
    Rotated90 = 6,
    /// Row at the right, column at the bottom.
    Transversed = 7,
    /// Row at the left, column at the bottom: turn by 270 degrees clockwise.
    Rotated270 = 8,
}

impl Orientation {
    /// Orientation of a tag value; `None` if the standards do not define it.
    pub const fn from_tag(value: u32) -> Option<Self> {
        Some(match value {
            1 => Self::Upright,
            2 => Self::MirroredHorizontally,
            3 => Self::Rotated180,
            4 => Self::MirroredVertically,
            5 => Self::Transposed,
            6 => Self::Rotated90,
            7 => Self::Transversed,
            8 => Self::Rotated270,
            _ => return None,
        })
    }

    /// Tag value, as in audit rows.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// Whether width and height are swapped.
    const fn turns(self) -> bool {
        self.tag() >= 5
    }
}

impl DecodedImage {
    /// Turns the image upright. `orientation` still tells how it was stored.
    pub(crate) fn upright(mut self, cancel: Cancel<'_>) -> Result<Self, Cancelled> {
        let (width, height) = (self.width as usize, self.height as usize);
        let orientation = self.orientation;
        self.samples = match self.samples {
            Samples::Narrow(stored) => Samples::Narrow(turned(stored, width, height, orientation, cancel)?),
            Samples::Wide(stored) => Samples::Wide(turned(stored, width, height, orientation, cancel)?),
        };
        if orientation.turns() {
            (self.width, self.height) = (self.height, self.width);
        }
        Ok(self)
    }
}

fn turned<T: Copy + Default>(
    mut stored: Vec<T>,
    width: usize,
    height: usize,
    orientation: Orientation,
    cancel: Cancel<'_>,
) -> Result<Vec<T>, Cancelled> {
    if orientation == Orientation::Upright || stored.is_empty() {
        return Ok(stored);
    }
    // Every orientation is an optional transposition followed by a reversal of rows, columns, both or
    // neither.
    let (mut upright, row) = if orientation.turns() {
        (transposed(&stored, width, height, cancel)?, height)
    } else {
        (std::mem::take(&mut stored), width)
    };
    cancel.check()?;
    match orientation {
        Orientation::Upright | Orientation::Transposed => {}
        Orientation::MirroredHorizontally | Orientation::Rotated90 => {
            upright.chunks_exact_mut(row).for_each(<[T]>::reverse);
        }
        Orientation::Rotated180 | Orientation::Transversed => upright.reverse(),
        Orientation::MirroredVertically | Orientation::Rotated270 => {
            let n_rows = upright.len() / row;
            let (top, rest) = upright.split_at_mut(n_rows / 2 * row);
            for (above, below) in top.chunks_exact_mut(row).zip(rest.chunks_exact_mut(row).rev()) {
                above.swap_with_slice(below);
            }
        }
    }
    Ok(upright)
}
fn transposed<T: Copy + Default>(
    stored: &[T],
    width: usize,
    height: usize,
    cancel: Cancel<'_>,
) -> Result<Vec<T>, Cancelled> {
    let mut columns = vec![T::default(); stored.len()];
    for top in (0..height).step_by(TILE) {
        cancel.check()?;
        for left in (0..width).step_by(TILE) {
            for y in top..height.min(top + TILE) {
                let row = &stored[y * width..][left..width.min(left + TILE)];
                for (x, sample) in (left..).zip(row) {
                    columns[x * height + y] = *sample;
                }
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard's definitions: position at which a stored pixel is shown.
    fn shown(orientation: Orientation, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        let (right, bottom) = (width - 1 - x, height - 1 - y);
        match orientation.tag() {
            1 => (x, y),
            2 => (right, y),
            3 => (right, bottom),
            4 => (x, bottom),
            5 => (y, x),
            6 => (bottom, x),
            7 => (bottom, right),
            _ => (y, right),
        }
    }

    #[test]
    fn every_orientation_is_what_the_standard_draws() {
        for (width, height) in [(1, 1), (1, 7), (5, 1), (3, 2), (67, 33), (40, 101)] {
            let stored: Vec<u16> = (0..(width * height) as u16).collect();
            for tag in 1..=8 {
                let orientation = Orientation::from_tag(tag).unwrap();
                let turned = turned(stored.clone(), width, height, orientation, Cancel::NEVER).unwrap();
                let row = if orientation.turns() { height } else { width };
                for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                    let (across, down) = shown(orientation, x, y, width, height);
                    assert_eq!(turned[down * row + across], stored[y * width + x], "{orientation:?} {x} {y}");
                }
            }
        }
    }

    #[test]
    fn a_stop_is_heeded() {
        let stop = || true;
        let stopped = turned(vec![0u8; 64], 8, 8, Orientation::Rotated90, Cancel::when(&stop));
        assert_eq!(stopped, Err(Cancelled));
    }
}
