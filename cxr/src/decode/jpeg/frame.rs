//! The frame header (T.81 B.2.2): coding process, size and sampling of the components.

use super::JPEG_ADVICE;
use crate::decode::corrupt;
use crate::reject::{RejectReason, Rejection};

/// A supported frame: DCT, Huffman coding, 8 bits per sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) components: Vec<Component>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factor, 1 to 4.
    pub(super) sampling: (u8, u8),
    /// Index of the quantisation table.
    pub(super) quantisation: u8,
}

impl Frame {
    pub(super) fn read(marker: u8, body: &[u8]) -> Result<Self, Rejection> {
        let progressive = match marker {
            0xC0 | 0xC1 => false,
            0xC2 => true,
            other => return Err(coding(other)),
        };
        let (&[precision, h1, h0, w1, w0, n], rest) =
            body.split_first_chunk().ok_or_else(|| corrupt("the JPEG's frame header is too short"))?;
        if precision != 8 {
            return Err(unsupported(format!("a JPEG with {precision} bits per sample")));
        }
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if height == 0 {
            return Err(unsupported("a JPEG that states its height after its pixels (DNL)"));
        }
        let (entries, []) = rest.as_chunks::<3>() else {
            return Err(corrupt("the JPEG's frame header has the wrong length"));
        };
        if entries.len() != usize::from(n) {
            return Err(corrupt("the JPEG's frame header has the wrong length"));
        }
        let components: Vec<_> = entries
            .iter()
            .map(|&[id, sampling, quantisation]| Component {
                id,
                sampling: (sampling >> 4, sampling & 15),
                quantisation,
            })
            .collect();
        let frame = Self { progressive, width, height, components };
        frame.check()?;
        Ok(frame)
    }

    fn check(&self) -> Result<(), Rejection> {
        match self.components.len() {
            1 | 3 => {}
            4 => return Err(unsupported("a JPEG in the colour space CMYK or YCCK")),
            n => return Err(unsupported(format!("a JPEG with {n} components"))),
        }
        for (index, component) in self.components.iter().enumerate() {
            let (h, v) = component.sampling;
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || component.quantisation > 3 {
                return Err(corrupt("the JPEG's frame header has an invalid sampling factor or table"));
            }
            if self.components[..index].iter().any(|other| other.id == component.id) {
                return Err(corrupt("two components of the JPEG have the same identifier"));
            }
        }
        Ok(())
    }

    /// Largest horizontal and vertical sampling factor of the components.
    pub(super) fn largest_sampling(&self) -> (u8, u8) {
        let largest = |factor: fn(&Component) -> u8| self.components.iter().map(factor).max().unwrap_or(1);
        (largest(|component| component.sampling.0), largest(|component| component.sampling.1))
    }
}

/// The coding process that an unsupported frame marker stands for (T.81 table B.1; T.87 for JPEG-LS).
pub(super) fn coding(marker: u8) -> Rejection {
    unsupported(match marker {
        0xC3 => "a lossless JPEG",
        0xC5..=0xC7 | 0xCD..=0xCF | 0xDE | 0xDF => "a hierarchical JPEG",
        0xC9 | 0xCA | 0xCC => "a JPEG with arithmetic coding",
        0xCB => "a lossless JPEG with arithmetic coding",
        0xF7 => "a JPEG-LS file",
        _ => "a JPEG with an unknown frame type",
    })
}

pub(super) fn unsupported(found: impl Into<String>) -> Rejection {
    Rejection::new(RejectReason::UnsupportedPixelFormat, found, JPEG_ADVICE)
}
