//! Corruptions have the documented strength and are reproducible.

use super::{Corruption, MAX_SEVERITY, Region, corrupt, fill, is_in, swap_region};
use crate::phantom::{PhantomSpec, generate};

const SIZE: (u32, u32) = (96, 80);

fn phantom(seed: u64) -> Vec<u8> {
    generate(&PhantomSpec { seed, width: SIZE.0, height: SIZE.1, opacity: true })
}

fn distance(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn severity_nought_is_the_image_and_every_other_changes_it_reproducibly() {
    let image = phantom(3);
    for corruption in Corruption::ALL {
        assert_eq!(corrupt(&image, SIZE, corruption, 0, 42, 7), image);
        for severity in 1..=MAX_SEVERITY {
            let once = corrupt(&image, SIZE, corruption, severity, 42, 7);
            assert_eq!(once.len(), image.len());
            assert_ne!(once, image, "{} {severity}", corruption.name());
            assert_eq!(once, corrupt(&image, SIZE, corruption, severity, 42, 7));
        }
        assert_eq!(
            corrupt(&image, SIZE, corruption, MAX_SEVERITY, 42, 7),
            corrupt(&image, SIZE, corruption, MAX_SEVERITY + 1, 42, 7)
        );
    }
}

#[test]
fn what_has_a_strength_grows_with_severity() {
    let monotone = [
        Corruption::GaussianNoise,
        Corruption::GaussianBlur,
        Corruption::Contrast,
        Corruption::Brightness,
        Corruption::Gamma,
        Corruption::Resolution,
        Corruption::BlackBorder,
        Corruption::WhiteBorder,
        Corruption::CornerMask,
    ];
    let image = phantom(4);
    for corruption in monotone {
        let distances: Vec<f64> = (0..=MAX_SEVERITY)
            .map(|severity| distance(&image, &corrupt(&image, SIZE, corruption, severity, 1, 2)))
            .collect();
        // The weakest blur of so small an image is below one grey level.
        assert!(
            distances.is_sorted() && distances[2..].is_sorted_by(|a, b| a < b),
            "{}: {distances:?}",
            corruption.name()
        );
        assert!(distances[2] > distances[0], "{}: {distances:?}", corruption.name());
    }
}

#[test]
fn noise_has_the_deviation_it_says() {
    let grey = vec![128; 200 * 200];
    let noisy = corrupt(&grey, (200, 200), Corruption::GaussianNoise, 2, 9, 0);
    let variance = noisy.iter().map(|p| (f64::from(*p) - 128.0).powi(2)).sum::<f64>() / noisy.len() as f64;
    assert!((variance.sqrt() - 10.0).abs() < 0.15, "{}", variance.sqrt());
    assert_ne!(noisy, corrupt(&grey, (200, 200), Corruption::GaussianNoise, 2, 9, 1));
}

#[test]
fn regions_part_the_image() {
    for share in [0.05, 0.1, 0.25] {
        for row in 0..SIZE.1 {
            for column in 0..SIZE.0 {
                let border = is_in(Region::Border(share), SIZE, column, row);
                assert_ne!(border, is_in(Region::Centre(share), SIZE, column, row));
                assert!(border || !is_in(Region::Corners(share), SIZE, column, row));
            }
        }
    }
    let (own, other) = (phantom(1), phantom(2));
    let swapped = swap_region(&own, &other, SIZE, Region::Border(0.1));
    let mut masked = (swapped.clone(), own);
    fill(&mut masked.0, SIZE, Region::Border(0.1), 0);
    fill(&mut masked.1, SIZE, Region::Border(0.1), 0);
    assert_eq!(masked.0, masked.1, "the centre stays");
    assert_eq!(swapped[..SIZE.0 as usize], other[..SIZE.0 as usize], "the frame is the other's");
}
