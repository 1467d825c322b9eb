//! Every supported layout, written by the test writer without external tools.

use crate::writer::{DEFLATE, LZW, OLD_DEFLATE, PACK_BITS, Picture, STORED, Spec, write};
use crate::{assert_same, luma, read, small};
use cxr::image::{ColourMode, Orientation, Photometric, Windowing};
use std::collections::BTreeMap;

const COMPRESSIONS: [u64; 5] = [STORED, LZW, DEFLATE, OLD_DEFLATE, PACK_BITS];
/// One column, odd sides, more than a piece of a row, tiles larger than the image.
const SIZES: [[usize; 2]; 5] = [[1, 1], [37, 23], [64, 48], [5000, 3], [130, 97]];
const GRIDS: [(Option<[usize; 2]>, usize); 5] =
    [(None, usize::MAX), (None, 1), (None, 7), (Some([16, 16]), 0), (Some([64, 32]), 0)];

#[test]
fn every_layout_gives_the_stored_samples() {
    let mut n_files = 0_usize;
    for [width, height] in SIZES {
        for (channels, bits) in
            [(1, 1), (1, 2), (1, 4), (1, 8), (1, 12), (1, 16), (3, 8), (3, 16), (2, 8), (4, 16), (5, 8)]
        {
            let picture = Picture::new(width, height, channels, bits);
            for compression in COMPRESSIONS {
                for (tile, rows_per_strip) in GRIDS {
                    // Every combination of flags meets every kind of picture and compression.
                    let begin = n_files;
                    for flags in (0..4).map(|turn| (begin + 5 * turn) % 16) {
                        let [planar, reversed_bits, big_endian, big] =
                            [1, 2, 4, 8].map(|bit| flags & bit != 0);
                        let photometric = if channels >= 3 { 2 } else { 1 };
                        let base = Spec {
                            compression,
                            tile,
                            rows_per_strip,
                            planar,
                            reversed_bits,
                            big_endian,
                            big,
                            photometric,
                            ..Spec::default()
                        };
                        let can_differ = matches!(bits, 8 | 16) && !matches!(compression, STORED | PACK_BITS);
                        for differences in [false, true].into_iter().take(1 + usize::from(can_differ)) {
                            let spec = Spec { differences, ..base.clone() };
                            assert_same(
                                &write(&picture, &spec),
                                &picture,
                                &(width, height, channels, bits, &spec),
                            );
                            n_files += 1;
                        }
                    }
                }
            }
        }
    }
    println!("{n_files} files");
}

#[test]
fn every_depth_of_grey_and_rgb_is_read() {
    for bits in 1..=16 {
        for channels in [1, 3] {
            let picture = Picture::new(41, 19, channels, bits);
            let photometric = if channels == 3 { 2 } else { 1 };
            for tile in [None, Some([16, 16])] {
                let spec = Spec { photometric, tile, compression: LZW, ..Spec::default() };
                assert_same(&write(&picture, &spec), &picture, &(bits, channels, tile));
            }
        }
    }
}

#[test]
fn what_the_tags_say_reaches_the_image() {
    let (picture, spec) = small();
    let image = read(&write(&picture, &spec)).unwrap();
    assert_eq!((image.colour(), image.photometric()), (ColourMode::Grey, Photometric::Monochrome2));
    assert_eq!((image.windowing(), image.orientation()), (Windowing::FullRange, Orientation::Upright));
    let white_is_zero = Spec { photometric: 0, ..spec.clone() };
    let image = read(&write(&picture, &white_is_zero)).unwrap();
    assert_eq!(
        (image.photometric(), image.samples().into_owned()),
        (Photometric::Monochrome1, picture.samples.clone())
    );
    let rgb = Spec { photometric: 2, ..spec };
    assert_eq!(read(&write(&Picture::new(40, 30, 3, 8), &rgb)).unwrap().colour(), ColourMode::Rgb);
    // A chunk may be stored with more bytes than its rows need.
    let long = Spec { tags: BTreeMap::from([(279, vec![1 << 20])]), ..Spec::default() };
    assert_same(&write(&picture, &long), &picture, &"long StripByteCounts");
}

#[test]
fn palettes_of_16_and_of_8_bits_become_grey() {
    for bits in [1, 2, 4, 8] {
        let n_colours = 1u64 << bits;
        let indices = Picture::new(50, 20, 1, bits);
        let colours = (0..3 * n_colours).map(|index| index * 37 % 256);
        let narrow: Vec<u64> = colours.clone().collect();
        let wide: Vec<u64> = colours.map(|value| value * 257).collect();
        let grey = |index: &u16| {
            luma([0, 1, 2].map(|channel| narrow[usize::from(*index) + channel * n_colours as usize] as u16))
        };
        let expected: Vec<u16> = indices.samples.iter().map(grey).collect();
        for map in [narrow.clone(), wide] {
            let spec = Spec { photometric: 3, tags: BTreeMap::from([(320, map)]), ..Spec::default() };
            let image = read(&write(&indices, &spec)).unwrap();
            assert_eq!((image.samples().as_ref(), image.significant_bits()), (expected.as_slice(), 8));
            assert_eq!(image.colour(), ColourMode::Palette);
        }
    }
}

#[test]
fn transparency_stands_on_black() {
    for (channels, alpha, bits) in [(2, 1, 8), (4, 3, 8), (5, 4, 16), (4, 3, 16)] {
        let picture = Picture::new(33, 21, channels, bits);
        for planar in [false, true] {
            // 0 is unspecified, 1 is already multiplied into the colours, 2 is not yet.
            for kind in 0..3 {
                let mut extra = vec![0; channels - if channels > 2 { 3 } else { 1 }];
                *extra.last_mut().unwrap() = kind;
                let tags = BTreeMap::from([(338, extra)]);
                let photometric = if channels > 2 { 2 } else { 1 };
                let image =
                    read(&write(&picture, &Spec { planar, photometric, tags, ..Spec::default() })).unwrap();
                let opaque = (1u64 << bits) - 1;
                let shown = |(value, pixel): (u16, &[u16])| match kind {
                    2 => ((u64::from(value) * u64::from(pixel[alpha]) + opaque / 2) / opaque) as u16,
                    _ => value,
                };
                let expected: Vec<u16> = crate::grey(&picture)
                    .into_iter()
                    .zip(picture.samples.chunks_exact(channels))
                    .map(shown)
                    .collect();
                assert!(image.samples().as_ref() == expected, "{channels} {alpha} {bits} {planar} {kind}");
            }
        }
    }
}

#[test]
fn shallow_colours_and_transparency_in_deep_files_are_those_of_the_8_bit_file() {
    let mut n_files = 0;
    for (channels, kind) in [(1, None), (2, Some(2)), (3, None), (4, Some(2)), (4, Some(0)), (5, Some(2))] {
        let picture = Picture::new(83, 41, channels, 8);
        let alpha = kind.filter(|kind| *kind == 2).map(|_| channels - 1);
        for flags in 0..16 {
            let [planar, big_endian, differences, tiled] = [1, 2, 4, 8].map(|bit| flags & bit != 0);
            let n_extra = channels - if channels > 2 { 3 } else { 1 };
            let mut extra = vec![0; n_extra];
            extra.last_mut().into_iter().zip(kind).for_each(|(last, kind)| *last = kind);
            let spec = Spec {
                planar,
                big_endian,
                differences,
                tile: tiled.then_some([32, 16]),
                compression: DEFLATE,
                photometric: if channels > 2 { 2 } else { 1 },
                tags: (n_extra > 0).then_some((338, extra)).into_iter().collect(),
                ..Spec::default()
            };
            let expected = read(&write(&picture, &spec)).unwrap();
            for (bits, factor) in [(16, 257), (16, 256), (16, 1), (12, 16)] {
                let deepen = |(position, level): (usize, &u16)| match alpha {
                    Some(alpha) if position % channels == alpha => (u32::from(*level) << (bits - 8)) as u16,
                    // Other channels use all their bits and are ignored.
                    None if kind.is_some() && position % channels >= 3 => level * 199,
                    _ => level * factor,
                };
                let samples = picture.samples.iter().enumerate().map(deepen).collect();
                let deep = Picture { bits, samples, ..Picture::new(83, 41, channels, 8) };
                let spec = Spec { differences: differences && bits == 16, ..spec.clone() };
                let image = read(&write(&deep, &spec)).unwrap();
                let of = (channels, kind, flags, bits, factor);
                assert!(image.samples() == expected.samples(), "{of:?}");
                assert_eq!(
                    (image.significant_bits(), image.windowing()),
                    (8, Windowing::FullRange),
                    "{of:?}"
                );
                n_files += 1;
            }
        }
    }
    println!("{n_files} files");
}

#[test]
fn orientation_is_the_tag_or_upright() {
    let (picture, spec) = small();
    // A picture of 40 x 30 pixels when upright, whatever its rows are.
    for (value, expected) in [(0, 1), (1, 1), (3, 3), (6, 6), (8, 8), (9, 1), (70_000, 1)] {
        let spec = Spec { tags: BTreeMap::from([(274, vec![value])]), ..spec.clone() };
        assert_eq!(read(&write(&picture, &spec)).unwrap().orientation().tag(), expected, "{value}");
    }
}
