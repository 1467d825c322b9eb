//! Against libtiff: libtiff reads the test writer's files, and this decoder reads what `tiffcp` writes,
//! sample for sample.

use crate::assert_same;
use crate::writer::{DEFLATE, LZW, PACK_BITS, Picture, STORED, Spec, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Channels and bits.
const KINDS: [(usize, u8); 9] = [(1, 1), (1, 2), (1, 4), (1, 8), (1, 12), (1, 16), (3, 8), (3, 16), (4, 8)];
const SIZES: [[usize; 2]; 2] = [[75, 41], [20, 9]];
const CODECS: [(&str, u64, bool); 6] = [
    ("none", STORED, false),
    ("lzw", LZW, false),
    ("lzw:2", LZW, true),
    ("zip", DEFLATE, false),
    ("zip:2", DEFLATE, true),
    ("packbits", PACK_BITS, false),
];
const GRIDS: [(Option<[usize; 2]>, usize); 5] =
    [(None, 100), (None, 1), (None, 7), (Some([16, 16]), 0), (Some([64, 32]), 0)];

struct Case {
    picture: Picture,
    spec: Spec,
    codec: &'static str,
}

/// Every kind, size, codec and grid, with the four flags in turn.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (channels, bits) in KINDS {
        for [width, height] in SIZES {
            for (codec, compression, differences) in CODECS {
                for (tile, rows_per_strip) in GRIDS {
                    if differences && !matches!(bits, 8 | 16) {
                        continue;
                    }
                    // 7 and 16 have no common divisor: every combination meets every kind and codec.
                    let flags = cases.len() * 7 % 16;
                    let [planar, reversed_bits, big_endian, big] = [1, 2, 4, 8].map(|bit| flags & bit != 0);
                    let photometric = if channels > 1 { 2 } else { (cases.len() % 2) as u64 };
                    let layout = Spec {
                        compression,
                        differences,
                        tile,
                        rows_per_strip,
                        photometric,
                        ..Spec::default()
                    };
                    let spec = Spec { planar, reversed_bits, big_endian, big, ..layout };
                    cases.push(Case { picture: Picture::new(width, height, channels, bits), spec, codec });
                }
            }
        }
    }
    cases
}

/// Rewrites the picture with `tiffcp` in this layout. It cannot separate channels that do not have 8 bits.
fn tiffcp(case: &Case, base: &Path, into: &Path) -> bool {
    let planar = case.spec.planar && case.picture.bits == 8;
    let mut command = Command::new("tiffcp");
    command.args(["-c", case.codec, "-p", if planar { "separate" } else { "contig" }]);
    command.arg(if case.spec.big_endian { "-B" } else { "-L" });
    command.args(["-f", if case.spec.reversed_bits { "lsb2msb" } else { "msb2lsb" }]);
    match case.spec.tile {
        Some([width, height]) => command.args(["-t", "-w", &width.to_string(), "-l", &height.to_string()]),
        None => command.args(["-s", "-r", &case.spec.rows_per_strip.to_string()]),
    };
    if case.spec.big {
        command.arg("-8");
    }
    command.arg(base).arg(into).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn libtiff_and_this_library_read_the_same_samples() {
    if Command::new("tiffcp").output().is_err() {
        println!("skipped: no tiffcp (scripts/setup.sh installs it)");
        return;
    }
    let (cases, folder) = (cases(), tempfile::tempdir().unwrap());
    let path = |name: String| -> PathBuf { folder.path().join(name) };
    for (number, case) in cases.iter().enumerate() {
        std::fs::write(path(format!("{number}-ours.tif")), write(&case.picture, &case.spec)).unwrap();
        let base = path("base.tiff".into());
        let plain = Spec { photometric: case.spec.photometric, ..Spec::default() };
        std::fs::write(&base, write(&case.picture, &plain)).unwrap();
        assert!(
            tiffcp(case, &base, &path(format!("{number}-libtiff.tif"))),
            "{} {:?}",
            case.codec,
            case.spec
        );
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/libtiff_read.py");
    assert!(
        Command::new("python3")
            .arg(script)
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    for (number, case) in cases.iter().enumerate() {
        for writer in ["ours", "libtiff"] {
            let raw = std::fs::read(path(format!("{number}-{writer}.raw"))).unwrap();
            let samples: Vec<u16> =
                raw.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
            let context = (writer, case.codec, case.picture.channels, case.picture.bits, &case.spec);
            assert!(samples == case.picture.samples, "libtiff reads other samples: {context:?}");
            let file = std::fs::read(path(format!("{number}-{writer}.tif"))).unwrap();
            assert_same(&file, &case.picture, &context);
        }
    }
    println!("{} files of this test's writer, {0} of libtiff's", cases.len());
}
