//! fp32 against int8 of a bundle, alternating, in a loop on one thread: processor time per image and their
//! ratio.
//!
//! `cargo run --release -p runtime --example variants -- models/default [ROUNDS]`, with `ORT_DYLIB_PATH` set.
#![expect(clippy::print_stdout, reason = "a measurement prints what it measured")]

use cxr::bundle::{Bundle, Trust};
use cxr::phantom::{PhantomSpec, generate};
use runtime::{Runtime, Session, SessionOptions};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const IMAGES: u64 = 16;
const ROUNDS: usize = 11;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which bundle? variants BUNDLE [ROUNDS]")?;
    let n_rounds = arguments.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?.max(1);
    let library =
        std::env::var_os("ORT_DYLIB_PATH").ok_or("ORT_DYLIB_PATH: scripts/onnxruntime.sh prints it")?;
    let bundle = Bundle::open(|name| std::fs::read(Path::new(&folder).join(name)), &Trust::Unsigned)?;
    let (fp32, int8) = (session(&bundle, "fp32", &library)?, session(&bundle, "int8", &library)?);
    let mut sessions = [("fp32", fp32), ("int8", int8)];
    let spec = &bundle.manifest().preprocess;
    let (width, height) = (spec.width, spec.height);
    let image = |seed| generate(&PhantomSpec { seed, width, height, opacity: seed % 2 == 1 });
    let images: Vec<Vec<u8>> = (0..IMAGES).map(image).collect();
    let manifest = bundle.manifest();
    println!("{} {}, {}", manifest.name, manifest.version, manifest.model.architecture);
    println!("{}", sessions[0].1.fingerprint().instruction_set);
    let mut milliseconds = [Vec::new(), Vec::new()];
    for round in 0..=n_rounds {
        for ((_, session), found) in sessions.iter_mut().zip(&mut milliseconds) {
            let cost = cost(session, &images)?;
            // The first round warms caches and arenas.
            if round > 0 {
                found.push(cost);
            }
        }
    }
    for ((name, _), found) in sessions.iter().zip(&milliseconds) {
        let spread = spread(found);
        println!("{name}  {spread} ms of processor time an image, {n_rounds} rounds of {IMAGES}");
    }
    let ratios: Vec<f64> = milliseconds[0].iter().zip(&milliseconds[1]).map(|(a, b)| a / b).collect();
    println!("fp32 over int8  {}", spread(&ratios));
    Ok(())
}

fn session(bundle: &Bundle, name: &str, library: &std::ffi::OsStr) -> Outcome<Session> {
    let (_, variant) = bundle.variant(Some(name))?;
    let graph = bundle.file(&variant.file).ok_or("the variant's graph is not in the bundle")?;
    let options = SessionOptions { precision: name.to_owned(), ..SessionOptions::default() };
    Ok(Runtime::load(Path::new(library))?.session(graph, &bundle.manifest().model, &options)?)
}

/// Processor time of this thread per image, in milliseconds.
fn cost(session: &mut Session, images: &[Vec<u8>]) -> Outcome<f64> {
    let begin = processor_ms()?;
    let wall = Instant::now();
    for image in images {
        session.run(image, 1)?;
    }
    let spent = processor_ms()? - begin;
    // Falls back to the wall clock if the system does not count processor time.
    let spent = if spent > 0.0 { spent } else { wall.elapsed().as_secs_f64() * 1e3 };
    Ok(spent / images.len() as f64)
}

fn processor_ms() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 =
        text.split_whitespace().next().ok_or("/proc/thread-self/schedstat: empty")?.parse()?;
    Ok(nanoseconds / 1e6)
}

/// Median, smallest and largest value.
fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let median = f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]);
    format!("{median:.2} ({:.2} to {:.2})", sorted[0], sorted[last])
}
