//! Files written by libjpeg-turbo, in every sampling and arrangement that it supports, against the luma that
//! it decodes. Needs cjpeg, djpeg and jpegtran (Debian: libjpeg-turbo-progs, which scripts/setup.sh
//! installs).

use crate::{assert_rejected_by_name, grey, is_read, worst};
use cxr::phantom::{PhantomSpec, generate};
use cxr::{DecodeLimits, decode};
use std::io::Write;
use std::process::{Command, Stdio};

/// Sides that are not a multiple of any MCU.
const WIDTH: u32 = 101;
const HEIGHT: u32 = 75;
/// Largest difference in grey levels between two inverse transforms and, for stored colours, two luma
/// formulas.
const TOLERANCE: u8 = 2;

fn installed() -> bool {
    let all =
        ["cjpeg", "djpeg", "jpegtran"].iter().all(|tool| Command::new(tool).arg("-version").output().is_ok());
    if !all {
        println!("skipped: cjpeg, djpeg and jpegtran are not installed (scripts/setup.sh installs them)");
    }
    all
}

/// Output of a tool, or its error message.
fn run(tool: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Input and output fit into the pipe buffers.
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    // Exit status 2 means a warning; the picture was read.
    if matches!(output.status.code(), Some(0 | 2)) {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A colour picture with edges, noise and saturated corners.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let levels = generate(&PhantomSpec { seed: 4, width, height, opacity: true });
    let mut file = format!("P6 {width} {height} 255\n").into_bytes();
    for (at, level) in (0..width * height).zip(levels) {
        let (x, y) = (at % width, at / width);
        let noise = (at.wrapping_mul(2_654_435_761) >> 27) as u8;
        let edge = if (x / 9 + y / 7) % 5 == 0 { 90 } else { 0 };
        let colour = [level.saturating_add(edge), level.wrapping_add(noise), level.saturating_sub(2 * noise)];
        file.extend(if x < 12 && y < 12 { [255, 0, 255 * (x as u8 % 2)] } else { colour });
    }
    file
}

/// The luma that libjpeg-turbo decodes, or its grey of stored RGB.
fn reference(file: &[u8]) -> Result<Vec<u8>, String> {
    let pgm = run("djpeg", &["-grayscale", "-pnm"], file)?;
    // P5, the sides and the largest level, one line each.
    let header: usize = pgm.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum();
    let pixels = &pgm[header..];
    Ok(pixels.to_vec())
}

fn assert_like_libjpeg(file: &[u8], what: &str) {
    let ours = grey(file).unwrap_or_else(|rejection| panic!("{what}: {rejection:?}"));
    let theirs = reference(file).unwrap_or_else(|complaint| panic!("{what}: djpeg: {complaint}"));
    let difference = worst(&ours, &theirs);
    assert!(difference <= TOLERANCE, "{what}: {difference} levels");
}

/// Scan scripts for cjpeg, each with whether all its scans hold one component.
const SCRIPTS: [(&str, &[&str], bool); 6] = [
    ("", &[], false),
    ("0;1;2;", &[], true),
    ("2;0;1;", &[], true),
    ("", &["-progressive"], false),
    (
        "0:0-0,0,1; 1:0-0,0,0; 2:0-0,0,0; 0:1-9,0,2; 0:10-63,0,2; 1:1-63,0,1; 2:1-63,0,0; 0:1-63,2,1; 0:1-63,1,0; 1:1-63,1,0; 0:0-0,1,0;",
        &["-progressive"],
        true,
    ),
    (
        "0,1,2:0-0,0,2; 2:1-63,0,0; 0:1-63,0,1; 0,1,2:0-0,2,1; 1:1-63,0,0; 0:1-63,1,0; 0,1,2:0-0,1,0;",
        &["-progressive"],
        false,
    ),
];

#[test]
fn every_sampling_and_arrangement_agrees_with_libjpeg_turbo() {
    if !installed() {
        return;
    }
    let input = picture(WIDTH, HEIGHT);
    let (mut n_read, mut n_rejected, mut n_unwritten) = (0, 0, 0);
    let factors = (1..=4).flat_map(|h| (1..=4).map(move |v| (h, v)));
    for (number, (luma, chroma)) in
        factors.clone().flat_map(|luma| factors.clone().map(move |c| (luma, c))).enumerate()
    {
        for (script, (scans, flags, apart)) in SCRIPTS.iter().enumerate() {
            let path = format!("{}/scans-{script}.txt", env!("CARGO_TARGET_TMPDIR"));
            let sample = format!("{}x{},{}x{},{2}x{3}", luma.0, luma.1, chroma.0, chroma.1);
            let mut arguments = vec!["-quality", ["95", "12"][number % 2], "-sample", &sample];
            arguments.extend(*flags);
            if (number + script) % 3 == 0 {
                arguments.extend(["-restart", "3B"]);
            }
            if !scans.is_empty() {
                std::fs::write(&path, scans.replace(';', ";\n")).unwrap();
                arguments.extend(["-scans", &path]);
            }
            let what = format!("cjpeg {}", arguments.join(" "));
            // cjpeg supports neither fractional factors nor more than 10 blocks per MCU.
            let Ok(mut file) = run("cjpeg", &arguments, &input) else {
                n_unwritten += 1;
                continue;
            };
            if number % 2 == 0
                && let Some(at) = file.windows(2).position(|pair| pair == [0xFF, 0xC0])
            {
                file[at + 1] = 0xC1;
            }
            if is_read([luma, chroma, chroma], *apart) {
                assert_like_libjpeg(&file, &what);
                n_read += 1;
            } else {
                assert_rejected_by_name(&grey(&file).expect_err(&what));
                n_rejected += 1;
            }
        }
    }
    println!("{n_read} agree, {n_rejected} are rejected by name, {n_unwritten} cannot be written");
    assert!(n_read > 150 && n_rejected > 300, "{n_read} read, {n_rejected} rejected");
}

#[test]
fn every_size_and_grey_file_agrees_with_libjpeg_turbo() {
    if !installed() {
        return;
    }
    let sizes = [(1, 1), (7, 9), (8, 8), (16, 17), (33, 15), (64, 64), (65, 127), (130, 3), (5, 131)];
    for (width, height) in sizes {
        let input = picture(width, height);
        for flags in [&[][..], &["-progressive"], &["-restart", "1B"], &["-progressive", "-restart", "2B"]] {
            let sample = ["1x1", "2x2", "3x1", "1x4"][(width + height) as usize % 4];
            let grey_flags = [&["-grayscale", "-sample", sample][..], flags].concat();
            for arguments in [
                grey_flags,
                [&["-sample", "2x2"][..], flags].concat(),
                [&["-sample", "1x2"][..], flags].concat(),
            ] {
                let file = run("cjpeg", &arguments, &input).unwrap();
                assert_like_libjpeg(&file, &format!("{width} x {height}, cjpeg {}", arguments.join(" ")));
            }
        }
    }
}

/// Replaces the JFIF segment by an Adobe segment.
fn with_adobe(file: &[u8], transform: Option<u8>) -> Vec<u8> {
    let jfif = 4 + usize::from(file[5]);
    let adobe =
        transform.map(|transform| [b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat());
    [&file[..2], &adobe.unwrap_or_default(), &file[jfif..]].concat()
}

/// Renumbers the components in the frame and in every scan.
fn with_ids(file: &[u8], ids: [u8; 3]) -> Vec<u8> {
    let mut file = file.to_vec();
    for at in 0..file.len() - 20 {
        match file[at..at + 2] {
            [0xFF, 0xC0..=0xC2] if file[at + 9] == 3 => {
                for (component, id) in ids.into_iter().enumerate() {
                    file[at + 10 + 3 * component] = id;
                }
            }
            [0xFF, 0xDA] => {
                for component in 0..usize::from(file[at + 4]) {
                    let id = &mut file[at + 5 + 2 * component];
                    *id = ids[usize::from(*id) - 1];
                }
            }
            _ => {}
        }
    }
    file
}

#[test]
fn colour_spaces_are_told_apart_as_libjpeg_turbo_does() {
    if !installed() {
        return;
    }
    let input = picture(WIDTH, HEIGHT);
    for flags in [&[][..], &["-progressive"]] {
        let plain = run("cjpeg", &[&["-sample", "1x1"][..], flags].concat(), &input).unwrap();
        for adobe in [None, Some(0), Some(1), Some(2), Some(9)] {
            for ids in [[1, 2, 3], [0, 1, 2], *b"RGB", *b"YCc", [200, 7, 90]] {
                let file = with_ids(&with_adobe(&plain, adobe), ids);
                assert_like_libjpeg(&file, &format!("{flags:?}, Adobe {adobe:?}, identifiers {ids:?}"));
            }
        }
        let rgb = run("cjpeg", &[&["-rgb", "-quality", "90"][..], flags].concat(), &input).unwrap();
        assert_like_libjpeg(&rgb, &format!("cjpeg -rgb {flags:?}"));
    }
}

#[test]
fn files_that_were_turned_without_loss_agree_with_libjpeg_turbo() {
    if !installed() {
        return;
    }
    let input = picture(WIDTH, HEIGHT);
    for sample in ["2x1", "2x2", "1x1", "4x1", "4x2"] {
        let file = run("cjpeg", &["-sample", sample, "-quality", "80"], &input).unwrap();
        for turn in [
            &["-transpose"][..],
            &["-rotate", "90"],
            &["-rotate", "270", "-progressive"],
            &["-flip", "vertical"],
        ] {
            let turned = run("jpegtran", turn, &file).unwrap();
            assert_like_libjpeg(&turned, &format!("-sample {sample}, jpegtran {turn:?}"));
        }
    }
    let arithmetic = run("cjpeg", &["-arithmetic"], &input).unwrap();
    let rejection = decode(&arithmetic, &DecodeLimits::default()).unwrap_err();
    assert!(rejection.found.contains("arithmetic"), "{rejection:?}");
}
