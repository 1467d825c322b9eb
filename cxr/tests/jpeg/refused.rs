//! Unsupported kinds of JPEG are rejected by name before decoding, with useful advice.

use crate::coefficients::{Layout, Picture, Scan};
use crate::{assert_rejected_by_name, grey};
use cxr::RejectReason;

fn picture(samplings: &[(u8, usize, usize)]) -> Picture {
    Picture::new(40, 33, 2, samplings, |component, x, y| {
        std::array::from_fn(|at| if at < 4 { ((component + x * 3 + y * 5 + at) % 9) as i16 - 4 } else { 0 })
    })
}

fn colour() -> Picture {
    picture(&[(1, 2, 2), (2, 1, 1), (3, 1, 1)])
}

/// Offset of a marker's segment.
fn marker(file: &[u8], marker: u8) -> usize {
    file.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

#[test]
fn other_codings_are_named() {
    let whole = colour().write(&Layout::plain(0xC0, 3));
    let named = [
        (0xC3, "lossless"),
        (0xC5, "hierarchical"),
        (0xC9, "arithmetic"),
        (0xCA, "arithmetic"),
        (0xCB, "lossless"),
        (0xCD, "hierarchical"),
        (0xDE, "hierarchical"),
        (0xF7, "JPEG-LS"),
    ];
    for (coding, name) in named {
        let mut file = whole.clone();
        let at = marker(&file, 0xC0);
        file[at + 1] = coding;
        let rejection = grey(&file).unwrap_err();
        assert!(rejection.found.contains(name), "{rejection:?}");
        assert_eq!(rejection.reason, RejectReason::UnsupportedPixelFormat);
        assert!(rejection.advice.contains("baseline JPEG, PNG or TIFF"), "{rejection:?}");
    }
}

#[test]
fn other_frames_are_named() {
    let file = colour().write(&Layout::plain(0xC1, 3));
    let frame = marker(&file, 0xC1);
    for (offset, value, name) in
        [(4, 12, "12 bits per sample"), (4, 16, "16 bits"), (6, 0, "height after its pixels")]
    {
        let mut file = file.clone();
        file[frame + offset] = value;
        let rejection = grey(&file).unwrap_err();
        assert!(rejection.found.contains(name), "{rejection:?}");
        assert_rejected_by_name(&rejection);
    }
    let four = picture(&[(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1)]).write(&Layout::plain(0xC0, 4));
    assert!(grey(&four).unwrap_err().found.contains("CMYK"));
    let two = picture(&[(1, 1, 1), (2, 1, 1)]).write(&Layout::plain(0xC0, 2));
    assert!(grey(&two).unwrap_err().found.contains("2 components"));
}

#[test]
fn samplings_and_scans_that_are_not_proven_are_named() {
    let apart = |groups: &[&[usize]]| Layout {
        scans: groups.iter().map(|group| Scan::whole(group)).collect(),
        ..Layout::plain(0xC0, 3)
    };
    let luma_small = picture(&[(1, 1, 1), (2, 2, 2), (3, 1, 1)]).write(&Layout::plain(0xC0, 3));
    assert!(grey(&luma_small).unwrap_err().found.contains("luma at less than its full resolution"));
    let three = picture(&[(1, 3, 1), (2, 1, 1), (3, 1, 1)]);
    assert!(grey(&three.write(&Layout::plain(0xC0, 3))).unwrap_err().found.contains("3 to 1"));
    assert!(grey(&three.write(&apart(&[&[0], &[1], &[2]]))).is_ok());
    let rejection = grey(&colour().write(&apart(&[&[0, 1], &[2]]))).unwrap_err();
    assert!(rejection.found.contains("two of its three components"), "{rejection:?}");
    let rgb = picture(&[(b'R', 1, 1), (b'G', 1, 1), (b'B', 1, 1)]);
    let rejection = grey(&rgb.write(&Layout { jfif: false, ..apart(&[&[0], &[1], &[2]]) })).unwrap_err();
    assert!(rejection.found.contains("RGB"), "{rejection:?}");
}

fn reason(layout: &Layout) -> RejectReason {
    grey(&colour().write(layout)).unwrap_err().reason
}

#[test]
fn scans_that_contradict_each_other_are_corrupt_and_missing_ones_are_truncated() {
    let sequential = |scans: Vec<Scan>| Layout { scans, ..Layout::plain(0xC0, 3) };
    let progressive = |scans: Vec<Scan>| Layout { scans, ..Layout::plain(0xC2, 3) };
    let dc = || Scan::bits(&[0, 1, 2], 0, 0, 0, 0);
    let ac = |first, last, high, low| Scan::bits(&[0], first, last, high, low);
    for missing in [
        sequential(vec![Scan::whole(&[0]), Scan::whole(&[1])]),
        progressive(vec![dc(), ac(1, 62, 0, 0)]),
        progressive(vec![dc(), ac(1, 63, 0, 1)]),
        progressive(vec![Scan::bits(&[0, 1, 2], 0, 0, 0, 1), ac(1, 63, 0, 0)]),
    ] {
        assert_eq!(reason(&missing), RejectReason::Truncated, "{missing:?}");
    }
    for wrong in [
        sequential(vec![Scan::whole(&[0, 1, 2]), Scan::whole(&[0])]),
        progressive(vec![ac(1, 63, 0, 0), dc()]),
        progressive(vec![dc(), dc(), ac(1, 63, 0, 0)]),
        progressive(vec![dc(), ac(1, 63, 0, 0), ac(1, 63, 0, 0)]),
        progressive(vec![dc(), ac(1, 63, 0, 3), ac(1, 63, 2, 1), ac(1, 63, 1, 0)]),
    ] {
        assert_eq!(reason(&wrong), RejectReason::Corrupt, "{wrong:?}");
    }
}

/// A file that was cut and then closed by a repair program would show grey in place of the image.
#[test]
fn data_that_end_early_are_truncated() {
    let noise = |component: usize, x: usize, y: usize| {
        std::array::from_fn(|at| {
            if at < 20 { ((component * 3 + x * 5 + y * 7 + at * 11) % 13) as i16 - 6 } else { 0 }
        })
    };
    let grey_picture = Picture::new(90, 70, 2, &[(1, 1, 1)], noise);
    let colour = Picture::new(90, 70, 2, &[(1, 2, 2), (2, 1, 1), (3, 1, 1)], noise);
    let apart = Layout { scans: (0..3).map(|c| Scan::whole(&[2 - c])).collect(), ..Layout::plain(0xC0, 3) };
    let refined =
        [Scan::bits(&[0], 0, 0, 0, 0), Scan::bits(&[0], 1, 63, 0, 1), Scan::bits(&[0], 1, 63, 1, 0)];
    let progressive = Layout { scans: refined.to_vec(), ..Layout::plain(0xC2, 1) };
    for file in [
        grey_picture.write(&Layout::plain(0xC0, 1)),
        grey_picture.write(&Layout { restart: 30, ..Layout::plain(0xC0, 1) }),
        grey_picture.write(&progressive),
        colour.write(&Layout::plain(0xC0, 3)),
        colour.write(&apart),
    ] {
        grey(&file).unwrap();
        let scan = file.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap();
        let header = 2 + usize::from(file[scan + 3]);
        for cut in scan + header..file.len() - 10 {
            if file[cut - 1] == 0xFF {
                continue;
            }
            let closed = [&file[..cut], &[0xFF, 0xD9]].concat();
            let Err(rejection) = grey(&closed) else {
                panic!("read, although cut at {cut} of {}", file.len())
            };
            assert!(
                matches!(rejection.reason, RejectReason::Truncated | RejectReason::Corrupt),
                "{rejection:?}"
            );
        }
    }
}

/// As many passes as T.81 allows, each over the whole image: the cost of a file is bounded before it is
/// decoded.
#[test]
fn passes_without_end_are_refused() {
    let mut scans = vec![Scan::bits(&[0], 0, 0, 0, 0)];
    scans.extend((1..=63).map(|k| Scan::bits(&[0], k, k, 0, 0)));
    let grey_picture = picture(&[(1, 1, 1)]);
    let rejection = |n: usize| {
        grey(&grey_picture.write(&Layout { scans: scans[..n].to_vec(), ..Layout::plain(0xC2, 1) }))
    };
    assert!(rejection(64).unwrap_err().found.contains("64 passes"), "{:?}", rejection(64));
    let mut few: Vec<_> = scans[..19].to_vec();
    few.push(Scan::bits(&[0], 19, 63, 0, 0));
    assert!(grey(&grey_picture.write(&Layout { scans: few, ..Layout::plain(0xC2, 1) })).is_ok());
}

#[test]
fn tables_without_end_are_refused() {
    let file = colour().write(&Layout::plain(0xC0, 3));
    let at = marker(&file, 0xC0);
    let restarts = [0xFF, 0xDD, 0, 4, 0, 0].repeat(100_000);
    let rejection = grey(&[&file[..at], &restarts, &file[at..]].concat()).unwrap_err();
    assert_eq!(rejection.reason, RejectReason::Corrupt);
}

/// Motion JPEG omits the tables of annex K.
#[test]
fn a_file_without_huffman_tables_is_read_with_the_standard_ones() {
    let pixels: Vec<u8> = (0..96 * 80 * 3).map(|at| (at * 7 % 251) as u8).collect();
    let mut file = Vec::new();
    jpeg_encoder::Encoder::new(&mut file, 80).encode(&pixels, 96, 80, jpeg_encoder::ColorType::Rgb).unwrap();
    let mut without = file.clone();
    let mut n_removed = 0;
    while let Some(at) = without.windows(2).position(|pair| pair == [0xFF, 0xC4]) {
        let length = usize::from(u16::from_be_bytes([without[at + 2], without[at + 3]]));
        without.drain(at..at + 2 + length);
        n_removed += 1;
    }
    assert!(n_removed > 0);
    assert!(grey(&without).unwrap() == grey(&file).unwrap());
}

/// Inputs that were once read wrongly or rejected as damaged.
#[test]
fn files_that_were_once_misread_are_right() {
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CXR_DATA_DIR").map_or_else(beside, Into::into).join("cases");
    let Ok(wrong) = std::fs::read(folder.join("jpeg-baseline-scan-per-component-420.jpg")) else {
        return println!("skipped: no real data ({} is not there; set CXR_DATA_DIR)", folder.display());
    };
    let right = std::fs::read(folder.join("jpeg-baseline-scan-per-component-420.same-pixels.jpg")).unwrap();
    assert!(grey(&wrong).unwrap() == grey(&right).unwrap());
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for read in ["jpeg-baseline-scan-per-component-440.jpg", "j_ni_cbfirst_420.jpg", "j_nodht.jpg"] {
        assert!(grey(&file(read)).is_ok(), "{read}: {:?}", grey(&file(read)));
    }
    let named = [
        ("j_12bit.jpg", "12 bits"),
        ("j_1x1_2x2.jpg", "less than its full resolution"),
        ("j_3x1.jpg", "3 to 1"),
        ("j_arith.jpg", "arithmetic"),
        ("j_jls.jls", "JPEG-LS"),
        ("j_ljpeg8.jpg", "lossless"),
    ];
    for (name, found) in named {
        let rejection = grey(&file(name)).unwrap_err();
        assert_eq!(rejection.reason, RejectReason::UnsupportedPixelFormat, "{name}");
        assert!(rejection.found.contains(found), "{name}: {rejection:?}");
    }
}
