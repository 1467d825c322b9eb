//! The same coefficients in thousands of arrangements give the same pixels, bit for bit, as the simplest one:
//! grey, baseline, one scan. That one is compared with the definition of the inverse transform.

use crate::coefficients::{Block, Layout, Picture, Scan, ZIGZAG};
use crate::{assert_rejected_by_name, grey, is_read, worst};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PLAIN: u8 = 0xC0;

fn block(rng: &mut ChaCha8Rng, most: usize) -> Block {
    let mut block = [0; 64];
    block[0] = rng.random_range(-120..120);
    for _ in 0..rng.random_range(0..=most) {
        block[ZIGZAG[rng.random_range(1..64)]] = rng.random_range(-12..=12);
    }
    block
}

fn shuffled(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    order
}

/// A random progression of bands and bits, and whether its first scan holds all components.
fn progression(n: usize, rng: &mut ChaCha8Rng) -> (bool, Vec<Scan>) {
    let all: Vec<usize> = (0..n).collect();
    let together = n > 1 && rng.random();
    let low = rng.random_range(0..3);
    let dc = |rng: &mut ChaCha8Rng, high: u8, low: u8| -> Vec<Scan> {
        if together {
            vec![Scan::bits(&all, 0, 0, high, low)]
        } else {
            shuffled(n, rng).iter().map(|c| Scan::bits(&[*c], 0, 0, high, low)).collect()
        }
    };
    let mut scans = dc(rng, 0, low);
    for component in shuffled(n, rng) {
        let (low, cut) = (rng.random_range(0..4), rng.random_range(1..63));
        scans.push(Scan::bits(&[component], 1, cut, 0, low));
        scans.push(Scan::bits(&[component], cut + 1, 63, 0, low));
        scans.extend((0..low).rev().map(|low| Scan::bits(&[component], 1, 63, low + 1, low)));
    }
    scans.extend((0..low).rev().flat_map(|low| dc(rng, low + 1, low)));
    (together, scans)
}

/// Frame marker, scans, and whether any scan holds several components.
fn arrangement(n: usize, rng: &mut ChaCha8Rng) -> (u8, bool, Vec<Scan>) {
    let order: Vec<usize> = (0..n).collect();
    let sequential = [0xC0, 0xC1][rng.random_range(0..2)];
    match rng.random_range(0..4) {
        0 => (sequential, n > 1, vec![Scan::whole(&order)]),
        1 => (sequential, false, shuffled(n, rng).iter().map(|c| Scan::whole(&[*c])).collect()),
        _ => {
            let (together, scans) = progression(n, rng);
            (0xC2, together, scans)
        }
    }
}

fn sampling(rng: &mut ChaCha8Rng) -> (usize, usize) {
    (rng.random_range(1..5), rng.random_range(1..5))
}

/// Half of the files with samplings that cameras use, half with any sampling.
fn samplings(rng: &mut ChaCha8Rng) -> [(usize, usize); 3] {
    let luma = [(1, 1), (2, 1), (1, 2), (2, 2)][rng.random_range(0..4)];
    if rng.random() { [luma, (1, 1), (1, 1)] } else { [sampling(rng), sampling(rng), sampling(rng)] }
}

fn picture(samplings: &[(usize, usize)], ids: [u8; 3], rng: &mut ChaCha8Rng) -> Picture {
    let (width, height) = (rng.random_range(1..90), rng.random_range(1..90));
    let most = [0, 2, 16, 80][rng.random_range(0..4)];
    let components: Vec<_> = samplings.iter().zip(ids).map(|((h, v), id)| (id, *h, *v)).collect();
    Picture::new(width, height, rng.random_range(1..9), &components, |_, _, _| block(rng, most))
}

#[test]
fn every_arrangement_of_one_picture_is_one_picture() {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let (mut n_read, mut n_rejected) = (0, 0);
    for number in 0..6000 {
        let colour = rng.random_range(0..5) > 0;
        let three = samplings(&mut rng);
        let ids = [[1, 2, 3], [0, 1, 2], [82, 200, 7]][rng.random_range(0..3)];
        let picture = picture(if colour { &three } else { &three[..1] }, ids, &mut rng);
        let (frame, together, scans) = arrangement(picture.components.len(), &mut rng);
        if together && three.iter().map(|(h, v)| h * v).sum::<usize>() > 10 {
            continue;
        }
        let restart = if rng.random_range(0..3) == 0 { rng.random_range(1..14) } else { 0 };
        let (jfif, adobe) =
            [(true, None), (false, Some(1)), (false, None), (false, Some(9))][rng.random_range(0..4)];
        let layout = Layout { frame, scans, restart, adobe, jfif, tables_again: rng.random() };
        let file = picture.write(&layout);
        let what = || format!("file {number}: {three:?}, {} x {}, {layout:?}", picture.width, picture.height);
        match grey(&file) {
            Ok(pixels) => {
                assert!(!colour || is_read(three, !together), "{}", what());
                let plain = picture.grey();
                assert!(pixels == grey(&plain.write(&Layout::plain(PLAIN, 1))).unwrap(), "{}", what());
                assert!(worst(&pixels, &plain.pixels()) <= 2, "{}", what());
                n_read += 1;
            }
            Err(rejection) => {
                assert!(colour && !is_read(three, !together), "{rejection:?}: {}", what());
                assert_rejected_by_name(&rejection);
                n_rejected += 1;
            }
        }
    }
    assert!(n_read > 2500 && n_rejected > 500, "{n_read} read, {n_rejected} rejected");
}

/// Decoders often lose the last rows of a scan and the first rows after a restart marker.
#[test]
fn scans_of_every_length_are_read_to_their_end() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    for (width, height) in (1..=40).flat_map(|size| [(size, 17), (23, size), (8 * size, 8), (8, 8 * size)]) {
        for most in [0, 60] {
            let components = [(1, 2, 2), (2, 1, 1), (3, 1, 1)];
            let picture = Picture::new(width, height, 3, &components, |_, _, _| block(&mut rng, most));
            let plain = grey(&picture.grey().write(&Layout::plain(PLAIN, 1))).unwrap();
            let apart: Vec<_> = (0..3).map(|c| Scan::whole(&[c])).collect();
            for restart in [0, 1, 2, 5] {
                for scans in [vec![Scan::whole(&[0, 1, 2])], apart.clone()] {
                    let layout = Layout { scans, restart, ..Layout::plain(0xC0, 3) };
                    assert!(
                        grey(&picture.write(&layout)).unwrap() == plain,
                        "{width} x {height}: {layout:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn colours_stored_as_they_are_become_grey() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    for progressive in [false, true] {
        for _ in 0..100 {
            let components = [(b'R', 1, 1), (b'G', 1, 1), (b'B', 1, 1)];
            let (width, height) = (rng.random_range(1..60), rng.random_range(1..60));
            let picture = Picture::new(width, height, 4, &components, |_, _, _| block(&mut rng, 8));
            let mut layout = Layout { jfif: false, ..Layout::plain(0xC0, 3) };
            if progressive {
                layout.frame = 0xC2;
                layout.scans = vec![Scan::bits(&[0, 1, 2], 0, 0, 0, 0)];
                layout.scans.extend((0..3).map(|c| Scan::bits(&[c], 1, 63, 0, 0)));
            }
            let [red, green, blue] = [0, 1, 2].map(|c| picture.component(c).pixels());
            let expected: Vec<u8> = (0..width * height)
                .map(|at| {
                    (299 * u32::from(red[at]) + 587 * u32::from(green[at]) + 114 * u32::from(blue[at]) + 500)
                        / 1000
                })
                .map(|level| level as u8)
                .collect();
            assert!(worst(&grey(&picture.write(&layout)).unwrap(), &expected) <= 2);
            layout.adobe = Some(0);
            assert!(worst(&grey(&picture.write(&layout)).unwrap(), &expected) <= 2);
        }
    }
}
