//! Unsupported files are rejected by name, with useful advice.

use crate::writer::{DEFLATE, LZW, Picture, Spec, append_directory, tags, write};
use crate::{assert_rejected, assert_same, read, refusal, small};
use cxr::RejectReason::{Corrupt, TooManyFrames, TooManyPixels, Truncated, UnsupportedPixelFormat};
use std::collections::BTreeMap;

fn with(tags: &[(u16, &[u64])]) -> Vec<u8> {
    let (picture, spec) = small();
    let tags = tags.iter().map(|(tag, values)| (*tag, values.to_vec())).collect();
    write(&picture, &Spec { tags, ..spec })
}

#[test]
fn what_is_not_read_is_named() {
    for (tags, found) in [
        ([(259, &[4][..])].as_slice(), "CCITT Group 4 fax compression (Compression 4)"),
        (&[(259, &[6])], "old-style JPEG compression"),
        (&[(259, &[7])], "JPEG compression"),
        (&[(259, &[34712])], "JPEG 2000 compression"),
        (&[(259, &[34925])], "LZMA compression"),
        (&[(259, &[50000])], "Zstandard compression"),
        (&[(259, &[50001])], "WebP compression"),
        (&[(259, &[777])], "unknown compression (Compression 777)"),
        (&[(262, &[5]), (277, &[4])], "CMYK"),
        (&[(262, &[6]), (277, &[3])], "YCbCr"),
        (&[(262, &[8]), (277, &[3])], "L*a*b*"),
        (&[(262, &[32803])], "colour filter array"),
        (&[(339, &[2])], "signed integer samples"),
        (&[(339, &[3]), (258, &[32])], "floating-point samples"),
        (&[(258, &[32])], "32 bits per sample"),
        (&[(258, &[5, 6, 5]), (262, &[2]), (277, &[3])], "different numbers of bits"),
        (&[(258, &[16]), (262, &[3])], "palette image with 16 bits"),
        (&[(277, &[6]), (262, &[2])], "6 channels"),
        (&[(317, &[3]), (259, &[LZW])], "Predictor 3"),
        (&[(317, &[2]), (259, &[DEFLATE]), (258, &[4])], "Predictor 2 on samples of 4 bits"),
        (&[(262, &[0]), (277, &[2]), (338, &[2])], "WhiteIsZero samples and transparency"),
    ] {
        assert_rejected(&with(tags), UnsupportedPixelFormat, found);
        assert!(refusal(&with(tags)).advice.starts_with("save the image"), "{found}");
    }
}

#[test]
fn entries_that_contradict_each_other_are_corrupt() {
    let (picture, spec) = small();
    // An unknown tag becomes a second entry for a known one.
    let twice = |tag: u16, value: u64| {
        let tags = BTreeMap::from([(40_000, vec![value])]);
        let mut file = write(&picture, &Spec { tags, ..spec.clone() });
        let found = file.windows(2).rposition(|bytes| bytes == 40_000_u16.to_le_bytes()).unwrap();
        file[found..found + 2].copy_from_slice(&tag.to_le_bytes());
        file
    };
    for (tag, value) in [(256, 20), (257, 15), (258, 16), (259, LZW), (262, 0), (266, 2), (277, 3), (278, 7)]
    {
        assert_rejected(&twice(tag, value), Corrupt, &format!("two different entries for tag {tag}"));
    }
    assert_same(&twice(262, 1), &picture, &"the same entry twice");
}

#[test]
fn what_contradicts_itself_is_corrupt() {
    for (tags, found) in [
        ([(262, &[2][..])].as_slice(), "SamplesPerPixel 1"),
        (&[(262, &[3])], "palette"),
        (&[(262, &[3]), (320, &[1, 2, 3])], "palette"),
        (&[(278, &[0])], "side of zero pixels"),
        (&[(322, &[0]), (323, &[16])], "side of zero pixels"),
        (&[(284, &[3]), (277, &[2])], "PlanarConfiguration is 3"),
        (&[(266, &[3])], "FillOrder is 3"),
        (&[(256, &[0])], "side of zero pixels"),
        (&[(279, &[1199])], "strip 1"),
        (&[(278, &[10])], "strip 2"),
        (&[(278, &[15]), (273, &[8, 9]), (279, &[600, 600])], "strips 1 and 2 of the TIFF overlap"),
        (&[(278, &[15]), (273, &[9, 8]), (279, &[600, 600])], "strips 2 and 1 of the TIFF overlap"),
    ] {
        assert_rejected(&with(tags), Corrupt, found);
    }
    for missing in [256, 257, 262, 273, 279] {
        let (picture, spec) = small();
        let mut file = crate::writer::header(&spec);
        let mut tags = tags(&picture, &spec);
        tags.extend([(273, vec![8]), (279, vec![1200])]);
        file.extend([0; 1200]);
        tags.remove(&missing);
        append_directory(&mut file, &tags, &spec);
        assert_rejected(&file, Corrupt, &format!("(tag {missing})"));
    }
    assert_rejected(&with(&[(273, &[1 << 20])]), Truncated, "ends before");
    assert_rejected(&with(&[(256, &[1 << 20]), (257, &[1 << 20])]), TooManyPixels, "1048576 x 1048576");
}

/// A file with one directory per picture, in this order, and these additional tags.
fn directories(pictures: &[(&Picture, &[(u16, u64)])], spec: &Spec) -> Vec<u8> {
    let mut file = crate::writer::header(spec);
    for (picture, more) in pictures {
        let at = file.len() as u64;
        file.extend(crate::writer::chunks(picture, spec).concat());
        let mut tags = tags(picture, spec);
        tags.extend([(273, vec![at]), (279, vec![file.len() as u64 - at])]);
        tags.extend(more.iter().map(|(tag, value)| (*tag, vec![*value])));
        append_directory(&mut file, &tags, spec);
    }
    file
}

#[test]
fn thumbnails_and_masks_are_passed_over_and_pages_are_counted() {
    let (image, thumbnail) = (Picture::new(40, 30, 1, 8), Picture::new(10, 8, 1, 8));
    for spec in [Spec::default(), Spec { big: true, big_endian: true, ..Spec::default() }] {
        for reduced in [(254, 1), (254, 5), (254, 4), (255, 2)] {
            let file = directories(&[(&image, &[]), (&thumbnail, &[reduced])], &spec);
            assert_same(&file, &image, &reduced);
            let file = directories(
                &[(&thumbnail, &[reduced]), (&image, &[(254, 2)]), (&thumbnail, &[reduced])],
                &spec,
            );
            assert_same(&file, &image, &reduced);
            assert_rejected(&directories(&[(&thumbnail, &[reduced])], &spec), Corrupt, "only thumbnails");
        }
        // Child directories (SubIFDs) belong to their image, wherever they lie.
        assert_same(&directories(&[(&image, &[(330, 1 << 30)])], &spec), &image, &"SubIFDs");
        for page in [&[][..], &[(254, 0)], &[(254, 2)], &[(255, 3)]] {
            let file = directories(&[(&image, page), (&thumbnail, page)], &spec);
            assert_rejected(&file, TooManyFrames, "at least 2 frames");
        }
    }
}

#[test]
fn directories_without_end_are_refused() {
    let (picture, spec) = small();
    for spec in [spec.clone(), Spec { big: true, ..spec }] {
        let file = write(&picture, &spec);
        let size = if spec.big { 8 } else { 4 };
        let first = u32::from_le_bytes(file[size..size + 4].try_into().unwrap());
        let mut looped = file.clone();
        let end = looped.len();
        looped[end - size..end - size + 4].copy_from_slice(&first.to_le_bytes());
        assert_rejected(&looped, Corrupt, "form a loop");
        let thumbnail: (&Picture, &[(u16, u64)]) = (&picture, &[(254, 1)]);
        assert_rejected(&directories(&vec![thumbnail; 65], &spec), Corrupt, "more than 64 directories");
        let mut endless = file.clone();
        endless[first as usize..first as usize + 2].copy_from_slice(&[0xFF; 2]);
        assert_rejected(&endless, Corrupt, "entries");
        let mut beyond = file;
        beyond[size..size + 4].copy_from_slice(&[0xFF; 4]);
        assert_rejected(&beyond, Truncated, "ends before");
    }
    assert_rejected(&crate::writer::header(&Spec::default()), Corrupt, "no directory");
}

#[test]
fn every_cut_is_refused_and_flipped_bytes_never_panic() {
    for spec in [
        Spec { compression: LZW, differences: true, rows_per_strip: 7, ..Spec::default() },
        Spec { compression: DEFLATE, tile: Some([16, 16]), big: true, ..Spec::default() },
    ] {
        let picture = Picture::new(40, 30, 1, 8);
        let file = write(&picture, &spec);
        for cut in 0..file.len() {
            assert!(read(&file[..cut]).is_err(), "cut at {cut} of {}", file.len());
        }
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = file.clone();
                damaged[at] ^= flip;
                if let Ok(image) = read(&damaged) {
                    assert_eq!(
                        image.samples().len() as u64,
                        u64::from(image.width()) * u64::from(image.height())
                    );
                }
            }
        }
    }
}

#[test]
fn damaged_deflate_data_do_not_become_an_image() {
    let picture = Picture::new(64, 64, 1, 8);
    for tile in [None, Some([64, 64])] {
        let spec = Spec { compression: DEFLATE, tile, ..Spec::default() };
        let file = write(&picture, &spec);
        let compressed = crate::writer::deflate(&crate::writer::chunks(&picture, &spec)[0]);
        let at = file.windows(compressed.len()).position(|window| window == compressed).unwrap();
        let end = at + compressed.len();
        for flipped in at..end {
            let mut damaged = file.clone();
            damaged[flipped] ^= 0x10;
            // The last bits before the checksum are padding and may change.
            if let Ok(image) = read(&damaged) {
                assert!(image.samples().as_ref() == picture.samples, "byte {flipped} of {at} to {end}");
            }
        }
    }
    let spec = Spec { compression: DEFLATE, tags: BTreeMap::from([(279, vec![60])]), ..Spec::default() };
    assert_rejected(&write(&picture, &spec), Corrupt, "strip 1 of the TIFF holds fewer pixels");
}
