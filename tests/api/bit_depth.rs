//! The same pixels in 8 and in 16 bits get the same answer.

use serde_json::Value;
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, real_data};

async fn answer(server: &Server, image: Vec<u8>) -> Value {
    let response = server.post("", image).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// Ways to store 8-bit samples in 16 bits.
const DEEPENINGS: [(&str, fn(u8) -> u16); 4] = [
    ("x 257", |level| u16::from(level) * 257),
    ("<< 8", |level| u16::from(level) << 8),
    ("<< 4", |level| u16::from(level) << 4),
    ("stretched to 12 bits", |level| (u32::from(level) * 4095 / 255) as u16),
];

#[tokio::test(flavor = "multi_thread")]
async fn pixels_of_8_bits_in_a_16_bit_file_get_the_answer_of_the_8_bit_file() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let size = (images::WIDTH, images::HEIGHT);
    let mut pictures: Vec<(Vec<u8>, (u32, u32))> =
        (0..3).map(|seed| (images::phantom(seed, seed % 2 == 0), size)).collect();
    for folder in ["NORMAL", "PNEUMONIA"] {
        let Some(folder) = real_data(&format!("kermany_originals/val/{folder}")) else { continue };
        for entry in std::fs::read_dir(folder).unwrap().take(2) {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let image = cxr::decode(&bytes, &cxr::DecodeLimits::default()).unwrap();
            let levels = image.samples().iter().map(|sample| *sample as u8).collect();
            pictures.push((levels, (image.width(), image.height())));
        }
    }
    for (number, (levels, size)) in pictures.iter().enumerate() {
        let shallow = answer(&server, images::png_of(levels, *size)).await;
        for (name, deepen) in DEEPENINGS {
            let deep: Vec<u16> = levels.iter().map(|level| deepen(*level)).collect();
            for file in [images::deep_png(&deep, *size), images::deep_tiff(&deep, *size)] {
                let found = answer(&server, file).await;
                for member in ["decision", "class", "probability", "reason", "review_required"] {
                    assert_eq!(found[member], shallow[member], "image {number}, {name}: {member}");
                }
            }
        }
    }
    let depths = "select distinct significant_bits from predictions";
    assert_eq!(postgres::psql(&url, depths).unwrap(), "8", "the rows say that 8 bits carry information");
    let per_image = "select count(distinct logit) from predictions";
    assert_eq!(postgres::psql(&url, per_image).unwrap(), pictures.len().to_string(), "one logit per picture");

    // Data that use all 16 bits keep their depth.
    let below = (0..16).cycle();
    let deep: Vec<u16> =
        images::phantom(1, true).iter().zip(below).map(|(level, n)| u16::from(*level) * 16 + n).collect();
    let found = answer(&server, images::deep_tiff(&deep, size)).await;
    let row =
        format!("select significant_bits from predictions where id = '{}'", found["id"].as_str().unwrap());
    assert_eq!(postgres::psql(&url, &row).unwrap(), "12");
}
