//! Phantoms: the same bytes everywhere, quick to generate, and neither trivial nor impossible to classify.

use cxr::analysis::scoring::roc::auc;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use sha2::{Digest, Sha256};

fn phantom(seed: u64, side: u32, opacity: bool) -> Vec<u8> {
    generate(&PhantomSpec { seed, width: side, height: side, opacity })
}

#[test]
fn a_seed_gives_the_same_bytes_on_every_platform() {
    let digest = hex::encode(Sha256::digest(phantom(42, 128, true)));
    assert_eq!(digest, "ed939cbdb38675cec11677a82d8b5cb3a037ab4ef229154261896dcf0371bbb5");
    assert_ne!(phantom(42, 128, true), phantom(43, 128, true));
}

#[test]
fn two_images_of_one_seed_differ_in_the_finding_alone() {
    for seed in 0..50 {
        let (without, with) = (phantom(seed, 96, false), phantom(seed, 96, true));
        assert!(without.iter().zip(&with).all(|(a, b)| a <= b), "an opacity only ever brightens");
        let changed =
            without.iter().zip(&with).filter(|(a, b)| b.abs_diff(**a) > 8).count() as f64 / with.len() as f64;
        assert!((0.005..0.25).contains(&changed), "seed {seed}: {changed} of the image");
    }
}

#[test]
fn brightness_alone_does_not_give_the_finding_away() {
    let (means, findings): (Vec<f64>, Vec<bool>) = (0..200)
        .map(|seed| {
            let pixels = phantom(seed, 96, seed % 2 == 1);
            (pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64, seed % 2 == 1)
        })
        .unzip();
    let area = auc(&means, &findings).unwrap();
    println!("AUC of mean brightness: {area:.3}");
    assert!((0.5..0.9).contains(&area), "{area}");
}

#[test]
fn every_size_is_drawn_and_encoded_without_loss() {
    for (width, height) in [(64, 64), (65, 200), (300, 64), (1, 1)] {
        let pixels = generate(&PhantomSpec { seed: 5, width, height, opacity: true });
        assert_eq!(pixels.len(), (width * height) as usize);
        let decoder = png::Decoder::new(std::io::Cursor::new(encode_png(&pixels, width, height)));
        let mut reader = decoder.read_info().unwrap();
        let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut decoded).unwrap();
        assert_eq!((frame.width, frame.height, frame.color_type), (width, height, png::ColorType::Grayscale));
        assert_eq!(decoded, pixels);
    }
    assert!(generate(&PhantomSpec { seed: 5, width: 0, height: 64, opacity: false }).is_empty());
}
