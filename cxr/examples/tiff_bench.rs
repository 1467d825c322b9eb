//! Decoding time of a TIFF of 2000 x 1600 pixels, alternating with the crate `tiff`, in processor time.

#![expect(clippy::print_stdout, reason = "a program that reports on its standard output")]

use cxr::phantom::{PhantomSpec, generate};
use cxr::{Cancel, DecodeLimits, Workspace, decode_with};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::hint::black_box;
use std::io::Cursor;
use tiff::decoder::{Decoder, Limits};
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, RGB8};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffValue};

const WIDTH: u32 = 2000;
const HEIGHT: u32 = 1600;
const N_TURNS: usize = 31;

type File = Result<Vec<u8>, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let grey = generate(&PhantomSpec { seed: 1, width: WIDTH, height: HEIGHT, opacity: true });
    let deep: Vec<u16> = grey.iter().map(|value| u16::from(*value) << 4 | 5).collect();
    let rgb: Vec<u8> = grey.iter().flat_map(|value| [*value; 3]).collect();
    let deflate = Compression::Deflate(DeflateLevel::Balanced);
    println!(
        "{N_TURNS} turns; median ms of this library, of the crate tiff, and of their ratio within a turn"
    );
    for (name, file) in [
        ("8 bits, stored", encoded::<Gray8>(&grey, Compression::Uncompressed)?),
        ("8 bits, PackBits", encoded::<Gray8>(&grey, Compression::Packbits)?),
        ("8 bits, LZW", encoded::<Gray8>(&grey, Compression::Lzw)?),
        ("8 bits, Deflate", encoded::<Gray8>(&grey, deflate)?),
        ("16 bits, stored", encoded::<Gray16>(&deep, Compression::Uncompressed)?),
        ("16 bits, LZW", encoded::<Gray16>(&deep, Compression::Lzw)?),
        ("16 bits, Deflate", encoded::<Gray16>(&deep, deflate)?),
        ("RGB, stored (without luma in the crate)", encoded::<RGB8>(&rgb, Compression::Uncompressed)?),
    ] {
        compare(name, &file);
    }
    Ok(())
}

fn compare(name: &str, file: &[u8]) {
    let mut workspace = Workspace::default();
    let mut turns = Vec::new();
    for turn in 0..=N_TURNS {
        let ours = |workspace: &mut Workspace| {
            timed(|| decode_with(workspace, file, &DecodeLimits::default(), Cancel::NEVER))
        };
        let theirs = || {
            timed(|| {
                let mut decoder =
                    Decoder::new(Cursor::new(file)).expect("a TIFF").with_limits(Limits::unlimited());
                decoder.read_image().expect("a whole TIFF")
            })
        };
        let (ours, theirs) = if turn % 2 == 0 {
            (ours(&mut workspace), theirs())
        } else {
            let theirs = theirs();
            (ours(&mut workspace), theirs)
        };
        turns.push((ours, theirs, ours / theirs));
    }
    // The first turn warms caches and buffers.
    turns.remove(0);
    let median = |value: fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{name:<42}{:>9.3}{:>9.3}{:>9.3}",
        median(|turn| turn.0),
        median(|turn| turn.1),
        median(|turn| turn.2)
    );
}

/// Processor time of this thread in milliseconds.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let begun = now();
    black_box(work());
    now() - begun
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn encoded<C: ColorType>(samples: &[C::Inner], compression: Compression) -> File
where
    [C::Inner]: TiffValue,
{
    let mut file = Cursor::new(Vec::new());
    TiffEncoder::new(&mut file)?.with_compression(compression).write_image::<C>(WIDTH, HEIGHT, samples)?;
    Ok(file.into_inner())
}
