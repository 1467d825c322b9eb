//! Recognises DICOM with or without preamble, so that the rejection can say how to export the image.

/// Value representations of the elements that can come first (PS3.5 6.2).
const FIRST_VR: [&[u8]; 6] = [b"UL", b"UI", b"CS", b"SH", b"OB", b"LO"];

/// Whether the content is DICOM, even if its preamble carries another format's header: the pixels are not in
/// that format (PS3.10 7.1).
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM") || bytes.starts_with(b"DICM") || is_bare(bytes)
}

/// A data set without preamble, as some archives export it: little endian, starting with group 0002 or 0008.
fn is_bare(bytes: &[u8]) -> bool {
    let Some(&[group, 0, element, 0, a, b, c, d]) = bytes.first_chunk() else { return false };
    if !matches!(group, 0x02 | 0x08) {
        return false;
    }
    // Explicit VR: the representation follows the tag. Implicit VR: a 4-byte length, even and small.
    let explicit = FIRST_VR.contains(&[a, b].as_slice());
    let length = u32::from_le_bytes([a, b, c, d]);
    explicit
        || (group == 0x08
            && matches!(element, 0x00 | 0x01 | 0x05 | 0x08 | 0x16 | 0x18)
            && length.is_multiple_of(2)
            && length <= 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_recognised_and_other_formats_are_not() {
        let preamble = [[0; 128].as_slice(), b"DICM\x02\0\0\0UL\x04\0"].concat();
        let with_meta = b"\x02\0\0\0UL\x04\0\xC8\0\0\0".as_slice();
        let explicit = b"\x08\0\x05\0CS\x0A\0ISO_IR 100".as_slice();
        let implicit = b"\x08\0\x16\0\x1A\0\0\x001.2.840.10008".as_slice();
        for dicom in [&preamble, with_meta, explicit, implicit] {
            assert!(is(dicom), "{dicom:?}");
        }
        for other in [
            b"\xFF\xD8\xFF\xE0\0\x10JF".as_slice(),
            b"\x89PNG\r\n\x1A\n",
            b"II\x2A\0\x08\0\0\0",
            b"",
            b"\x02\0\0\0",
        ] {
            assert!(!is(other), "{other:?}");
        }
    }
}
