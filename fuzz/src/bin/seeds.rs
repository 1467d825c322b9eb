//! Writes the committed seeds of `decode`, `multipart` and `token` into fuzz/corpus; those of `jwks` are public keys of nobody,
//! written by hand.

use cxr::phantom::{PhantomSpec, encode_png, generate};
use jpeg_encoder::{ColorType, Encoder};
use std::io::Cursor;
use std::path::Path;
use tiff::encoder::{Compression, TiffEncoder, colortype};

/// Just above what the acceptance gate asks for.
const WIDTH: u32 = 112;
const HEIGHT: u32 = 100;

type Made<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Made<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |name: &str, bytes: &[u8]| std::fs::write(corpus.join(name), bytes);
    let grey = generate(&PhantomSpec { seed: 1, width: WIDTH, height: HEIGHT, opacity: true });
    let rgb: Vec<u8> = grey.iter().flat_map(|v| [*v, 255 - *v, *v / 2]).collect();
    let deep: Vec<u16> = grey.iter().map(|v| u16::from(*v) << 4).collect();
    let deep_bytes: Vec<u8> = deep.iter().flat_map(|v| v.to_be_bytes()).collect();
    let grey_alpha: Vec<u8> = grey.iter().flat_map(|v| [*v, 200]).collect();

    write("decode/grey.png", &encode_png(&grey, WIDTH, HEIGHT))?;
    write(
        "decode/bits.png",
        &png(&grey[..(WIDTH / 8 * HEIGHT) as usize], png::ColorType::Grayscale, png::BitDepth::One)?,
    )?;
    write("decode/alpha.png", &png(&grey_alpha, png::ColorType::GrayscaleAlpha, png::BitDepth::Eight)?)?;
    write("decode/deep.png", &png(&deep_bytes, png::ColorType::Grayscale, png::BitDepth::Sixteen)?)?;
    write("decode/grey.jpeg", &jpeg(&grey, ColorType::Luma, false)?)?;
    write("decode/colour.jpeg", &jpeg(&rgb, ColorType::Rgb, false)?)?;
    write("decode/progressive.jpeg", &jpeg(&grey, ColorType::Luma, true)?)?;
    write(
        "decode/grey.tiff",
        &tiff::<colortype::Gray8>(&grey, Compression::Deflate(tiff::encoder::DeflateLevel::Best))?,
    )?;
    write("decode/deep.tiff", &tiff::<colortype::Gray16>(&deep, Compression::Lzw)?)?;
    write("decode/packed.tiff", &tiff::<colortype::Gray8>(&vec![7; grey.len()], Compression::Packbits)?)?;

    let form = |parts: &str| format!("\u{10}multipart/form-data; boundary=edge\n{parts}--edge--\r\n");
    let image = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.png\"\r\nContent-Type: image/png\r\n\r\nbytes\r\n";
    let age = "--edge\r\nContent-Disposition: form-data; name=\"age\"\r\n\r\n045Y\r\n";
    let view = "--edge\r\nContent-Disposition: form-data; name=view\r\n\r\nPA\r\n";
    write("multipart/image", form(image).as_bytes())?;
    write("multipart/stated", form(&[age, image, view].concat()).as_bytes())?;
    write("multipart/twice", form(&[image, image].concat()).as_bytes())?;
    write("multipart/cut-short", &form(image).as_bytes()[..100])?;
    write(
        "multipart/quoted-boundary",
        b"\0multipart/form-data; charset=utf-8; boundary=\"e dge\"\n--e dge--\r\n",
    )?;

    let claims = r#"{"iss":"https://fuzz.invalid","aud":"cxr","sub":"seed","exp":4102444800,"nbf":1,"scope":"predict label"}"#;
    let listed = r#"{"iss":"https://fuzz.invalid","aud":["cxr","b"],"sub":"seed","exp":4102444800.5,"scp":["audit:read"]}"#;
    write("token/claims", format!("c{claims}").as_bytes())?;
    write("token/listed", format!("c{listed}").as_bytes())?;
    write(
        "token/header",
        format!("h{{\"alg\":\"HS256\",\"kid\":\"ed\",\"typ\":\"JWT\"}}\0{claims}").as_bytes(),
    )?;
    write("token/none", format!("h{{\"alg\":\"none\"}}\0{claims}").as_bytes())?;
    write(
        "token/own-key",
        format!(
            "h{{\"alg\":\"ES256\",\"jwk\":{{\"kty\":\"oct\",\"k\":\"AA\"}},\"crit\":[\"b64\"]}}\0{claims}"
        )
        .as_bytes(),
    )?;
    for (name, header) in [
        ("rsa", r#"{"alg":"RS256","kid":"rsa"}"#),
        ("ec", r#"{"alg":"ES256","kid":"ec"}"#),
        ("ed", r#"{"alg":"EdDSA","kid":"ed"}"#),
    ] {
        use base64::Engine as _;
        let base64url = |text: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let token =
            [base64url(header.as_bytes()), base64url(claims.as_bytes()), base64url(&[1; 64])].join(".");
        write(&format!("token/raw-{name}"), format!("r{token}").as_bytes())?;
    }
    Ok(())
}

fn png(samples: &[u8], colour: png::ColorType, depth: png::BitDepth) -> Made<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header()?.write_image_data(samples)?;
    Ok(file)
}

fn jpeg(samples: &[u8], colour: ColorType, progressive: bool) -> Made<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 75);
    encoder.set_progressive(progressive);
    encoder.encode(samples, WIDTH as u16, HEIGHT as u16, colour)?;
    Ok(file)
}

fn tiff<C: colortype::ColorType>(samples: &[C::Inner], compression: Compression) -> Made<Vec<u8>>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut file = Cursor::new(Vec::new());
    TiffEncoder::new(&mut file)?.with_compression(compression).write_image::<C>(WIDTH, HEIGHT, samples)?;
    Ok(file.into_inner())
}
