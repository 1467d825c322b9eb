//! Windows add up exactly and survive their encoding; hostile bytes are an error.

use super::*;
use crate::synthetic::{observation, rejected};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn some(n: u64) -> Vec<Observation> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let image = |leaf: u64| if leaf % 9 == 4 { rejected(leaf, "blank") } else { observation(leaf, &mut rng) };
    (0..n).map(image).collect()
}

fn window(observations: &[Observation]) -> Window {
    let mut window = Window::default();
    for observation in observations {
        window.add(observation);
    }
    window
}

#[test]
fn parts_add_up_to_the_whole_in_any_order() {
    let images = some(300);
    let whole = window(&images);
    for cut in [0, 1, 17, 150, 299, 300] {
        let (first, second) = (window(&images[..cut]), window(&images[cut..]));
        for (a, b) in [(&first, &second), (&second, &first)] {
            let mut merged = a.clone();
            merged.merge(b);
            assert_eq!(merged, whole, "{cut}");
            assert_eq!(merged.encode(), whole.encode(), "{cut}");
        }
    }
    let (mean, covariance, n) = whole.embedding().unwrap();
    let scores: Vec<_> = images.iter().filter_map(|image| image.score.as_ref()).collect();
    assert_eq!(n, scores.len() as u64);
    let naive = scores.iter().map(|s| f64::from(s.coordinates[1])).sum::<f64>() / n as f64;
    assert!((mean[1] - naive).abs() < 1e-4 && covariance[0][0] > 0.5 && covariance[0][0] < 2.0);
    assert_eq!(whole.counts().n_rejected["blank"], 33);
    assert_eq!(whole.histogram(Quantity::Probability).unwrap().n(), scores.len() as u64);
}

#[test]
fn embeddings_of_different_lengths_add_up() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let long = observation(1, &mut rng);
    let mut short = observation(2, &mut rng);
    short.score.as_mut().unwrap().coordinates.truncate(1);
    let mut first = window(std::slice::from_ref(&long));
    first.merge(&window(std::slice::from_ref(&short)));
    assert_eq!(first, window(&[short, long]));
}

#[test]
fn extreme_values_are_counted() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut image = observation(1, &mut rng);
    image.inputs = Some([f64::NAN; crate::quantity::N_INPUTS]);
    let score = image.score.as_mut().unwrap();
    score.ood_score = f64::MAX;
    score.coordinates = vec![f32::NAN, f32::INFINITY, -3e38];
    let window = window(&[image]);
    assert!(window.embedding().is_none() && window.histogram(Quantity::Input(0)).is_none());
    assert_eq!(window.histogram(Quantity::Ood).unwrap().counts()[63], 1);
    assert_eq!(Window::decode(&window.encode()), Ok(window));
}

#[test]
fn bytes_round_trip_and_hostile_ones_are_an_error() {
    assert_eq!(Window::decode(&Window::default().encode()), Ok(Window::default()));
    let window = window(&some(100));
    let bytes = window.encode();
    assert_eq!(Window::decode(&bytes).as_ref(), Ok(&window));
    for end in 0..bytes.len() {
        assert!(Window::decode(&bytes[..end]).is_err(), "{end}");
    }
    assert!(matches!(Window::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::TrailingBytes(_))));
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for _ in 0..20_000 {
        let mut wrong = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..wrong.len());
            wrong[at] = rng.random();
        }
        drop(Window::decode(&wrong));
    }
    let huge = [&[1][..], &[0xff; 40]].concat();
    assert!(Window::decode(&huge).is_err());
}
