//! JPEG artefacts on the device: baseline luminance coding (ITU-T T.81) without lossless entropy coding.

use super::batch::only;
use super::draw::Variation;
use std::f64::consts::PI;
use tch::Tensor;

/// Annex K, table K.1: luminance quantisation at quality 50.
const LUMINANCE: [f32; 64] = [
    16., 11., 10., 16., 24., 40., 51., 61., 12., 12., 14., 19., 26., 58., 60., 55., 14., 13., 16., 24., 40.,
    57., 69., 56., 14., 17., 22., 29., 51., 87., 80., 62., 18., 22., 37., 56., 68., 109., 103., 77., 24.,
    35., 55., 64., 81., 104., 113., 92., 49., 64., 78., 87., 103., 121., 120., 101., 72., 92., 95., 98.,
    112., 100., 103., 99.,
];

pub(super) fn compress(images: Tensor, varied: &[Variation]) -> Tensor {
    let qualities: Vec<u8> = varied.iter().filter_map(|v| v.jpeg_quality).collect();
    only(images, varied, |v| v.jpeg_quality.is_some(), |coded| code(coded, &qualities))
}

/// Codes and decodes grey levels `[N, 1, H, W]` with one quality per image.
pub(super) fn code(images: &Tensor, qualities: &[u8]) -> Tensor {
    let (n, height, width) = (images.size()[0], images.size()[2], images.size()[3]);
    // As encoders do, complete the last blocks by repeating the edge.
    let pad = |side: i64| (8 - side % 8) % 8;
    let padded = images.round().replication_pad2d([0, pad(width), 0, pad(height)]);
    let (rows, columns) = ((height + pad(height)) / 8, (width + pad(width)) / 8);
    // One row per block, so that the transform of a whole batch is one matrix product.
    let blocks =
        (padded - 128.0).view([n, rows, 8, columns, 8]).permute([0, 1, 3, 2, 4]).reshape([n, -1, 64]);
    let tables: Vec<f32> = qualities.iter().flat_map(|quality| table(*quality)).collect();
    let tables = Tensor::from_slice(&tables).view([n, 1, 64]).to_device(images.device());
    let transform = cosine_transform().to_device(images.device());
    let quantised = blocks.matmul(&transform.tr()).g_div_(&tables).round_().g_mul_(&tables);
    (quantised.matmul(&transform).g_add_scalar_(128.0))
        .view([n, rows, columns, 8, 8])
        .permute([0, 1, 3, 2, 4])
        .reshape([n, 1, rows * 8, columns * 8])
        .narrow(2, 0, height)
        .narrow(3, 0, width)
        .round()
        .clamp(0.0, 255.0)
}

/// The quantisation table at a quality from 1 to 100, scaled as in libjpeg.
fn table(quality: u8) -> [f32; 64] {
    let quality = f32::from(quality);
    let scale = if quality < 50.0 { 5000.0 / quality } else { 200.0 - 2.0 * quality };
    LUMINANCE.map(|step| ((step * scale.floor() + 50.0) / 100.0).floor().clamp(1.0, 255.0))
}

/// The orthonormal DCT-II of an 8x8 block as a `[64, 64]` matrix.
fn cosine_transform() -> Tensor {
    let along = |k: usize, x: usize| {
        let scale = if k == 0 { (1.0f64 / 8.0).sqrt() } else { 0.5 };
        scale * (PI * (2 * x + 1) as f64 * k as f64 / 16.0).cos()
    };
    let value = |i: usize| {
        let (frequency, position) = (i / 64, i % 64);
        (along(frequency / 8, position / 8) * along(frequency % 8, position % 8)) as f32
    };
    let values: Vec<f32> = (0..64 * 64).map(value).collect();
    Tensor::from_slice(&values).view([64, 64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::DecodeLimits;
    use cxr::phantom::{PhantomSpec, generate};
    use jpeg_encoder::{ColorType, Encoder};
    use tch::Kind;

    #[test]
    fn artefacts_are_those_of_a_jpeg_file() {
        for (quality, (width, height)) in [(30u8, (64, 48)), (60, (96, 96)), (75, (61, 50)), (95, (64, 64))] {
            let pixels = generate(&PhantomSpec { seed: 5, width, height, opacity: true });
            let mut file = Vec::new();
            Encoder::new(&mut file, quality)
                .encode(&pixels, width as u16, height as u16, ColorType::Luma)
                .unwrap();
            let decoded = cxr::decode(&file, &DecodeLimits::default()).unwrap();
            let shape = [1, 1, i64::from(height), i64::from(width)];
            let images = Tensor::from_slice(&pixels).to_kind(Kind::Float).view(shape);
            let coded: Vec<f32> = Vec::try_from(code(&images, &[quality]).flatten(0, -1)).unwrap();
            let decoded = decoded.samples();
            let difference: f64 =
                coded.iter().zip(decoded.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum();
            let mean = difference / coded.len() as f64;
            assert!(mean < 0.35, "quality {quality}: {mean} grey levels");
        }
    }
}
