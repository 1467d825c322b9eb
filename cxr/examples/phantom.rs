//! Writes a generated radiograph: `cargo run --release -p cxr --example phantom -- SEED clear|opacity OUT.png`.

use cxr::phantom::{PhantomSpec, encode_png, generate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const USAGE: &str =
        "usage: phantom SEED clear|opacity OUT.png, for example: phantom 7 opacity /tmp/phantom.png";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, finding, path] = arguments.as_slice() else { return Err(USAGE.into()) };
    let opacity = match finding.as_str() {
        "clear" => false,
        "opacity" => true,
        _ => return Err(USAGE.into()),
    };
    let spec = PhantomSpec { seed: seed.parse()?, width: 1024, height: 832, opacity };
    std::fs::write(path, encode_png(&generate(&spec), spec.width, spec.height))?;
    Ok(())
}
