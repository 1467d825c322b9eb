//! ONNX Runtime with the default bundle: contracts kept and broken, providers verified and rejected.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::DecodeLimits;
use cxr::bundle::{Bundle, Trust};
use runtime::{CudaOptions, Provider, Runtime, RuntimeError, SessionOptions};
use std::path::{Path, PathBuf};

fn bundle() -> Bundle {
    open(&models().join("default"))
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn open(folder: &Path) -> Bundle {
    Bundle::open(|name| std::fs::read(folder.join(name)), &Trust::Unsigned).unwrap()
}

fn runtime() -> Runtime {
    let library =
        std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH: scripts/onnxruntime.sh prints it");
    Runtime::load(Path::new(&library)).unwrap()
}

fn phantoms(n: u64) -> Vec<u8> {
    let spec = |seed| cxr::phantom::PhantomSpec { seed, width: 224, height: 224, opacity: seed % 2 == 0 };
    (0..n).flat_map(|seed| cxr::phantom::generate(&spec(seed))).collect()
}

#[test]
fn a_batch_gives_what_its_images_give_and_the_provider_is_proven() {
    let bundle = bundle();
    let graph = bundle.file(&bundle.variant(None).unwrap().1.file).unwrap();
    let mut session = runtime().session(graph, &bundle.manifest().model, &SessionOptions::default()).unwrap();
    let pixels = phantoms(5);
    let batch = session.run(&pixels, 5).unwrap();
    assert_eq!(batch.cam.len(), 5 * (batch.cam_size.0 * batch.cam_size.1) as usize);
    assert_eq!(batch.embedding.len(), 5 * batch.embedding_length);
    for (index, image) in pixels.chunks_exact(224 * 224).enumerate() {
        let single = session.run(image, 1).unwrap();
        let difference = (single.logits[0] - batch.logits[index]).abs();
        assert!(difference < 1e-4, "image {index}: {difference}");
    }
    assert!(session.proof().assigned_nodes["CPUExecutionProvider"] > 10);
    assert!(session.fingerprint().onnxruntime.contains("onnxruntime"), "{:?}", session.fingerprint());
    for (length, batch) in [(224 * 224 - 1, 1), (224 * 224, 2), (0, 0)] {
        assert!(matches!(session.run(&pixels[..length], batch), Err(RuntimeError::Input { .. })));
    }
}

/// int8 kernels sum bytes differently on every generation of processors. The bundle's golden outputs must
/// hold on all of them (`scripts/test-processors.sh` emulates some).
#[test]
fn this_processor_gives_the_golden_outputs_of_every_variant() {
    let bundle = bundle();
    for (name, variant) in &bundle.manifest().variants {
        let graph = bundle.file(&variant.file).unwrap();
        let session = runtime().session(graph, &bundle.manifest().model, &SessionOptions::default());
        let mut session = session.unwrap();
        for golden in &variant.golden {
            let image = cxr::decode(bundle.file(&golden.file).unwrap(), &DecodeLimits::default()).unwrap();
            let pixels: Vec<u8> = image.samples().iter().map(|sample| *sample as u8).collect();
            let logit = session.run(&pixels, 1).unwrap().logits[0];
            let difference = (logit - golden.logit).abs();
            let processor = &session.fingerprint().instruction_set;
            println!("{name} {}: {logit}, off by {difference:.1e} on {processor}", golden.file);
            assert!(difference <= golden.tolerance, "{name} {}: {logit}, not {golden:?}", golden.file);
        }
    }
}

/// The service's single-image session has more threads, which must not change an answer. `make bench-models`
/// adds the other architectures.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let others = models().join("../target/bench/models");
    let others = std::fs::read_dir(others).into_iter().flatten().map(|entry| entry.unwrap().path());
    let pixels = phantoms(24);
    for folder in others.chain([models().join("default")]) {
        let bundle = open(&folder);
        for (name, variant) in &bundle.manifest().variants {
            let graph = bundle.file(&variant.file).unwrap();
            let outputs = |intra_threads| {
                let batch_sizes = variant.fixed_batch.map(|size| size as usize).into_iter().collect();
                let options = SessionOptions { intra_threads, batch_sizes, ..SessionOptions::default() };
                let mut session = runtime().session(graph, &bundle.manifest().model, &options).unwrap();
                let run = |image| session.run_images(&[image]).unwrap();
                pixels.chunks_exact(224 * 224).map(run).collect::<Vec<_>>()
            };
            let one = outputs(1);
            for threads in [2, 3, 4, 8] {
                assert!(outputs(threads) == one, "{} {name}, {threads} threads", folder.display());
            }
        }
    }
}

#[test]
fn a_graph_that_breaks_the_contract_is_refused_and_the_difference_named() {
    let bundle = bundle();
    let graph = bundle.file(&bundle.variant(None).unwrap().1.file).unwrap();
    let refused = |edit: &dyn Fn(&mut cxr::bundle::ModelContract)| {
        let mut contract = bundle.manifest().model.clone();
        edit(&mut contract);
        match runtime().session(graph, &contract, &SessionOptions::default()) {
            Err(RuntimeError::Contract { what }) => what,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(&|c| c.input.name = "pixels".into()).contains("pixels"));
    assert!(refused(&|c| c.input.shape[2] = Some(225)).contains("225"));
    assert!(refused(&|c| c.outputs[0].dtype = "uint8".into()).contains("uint8"));
    assert!(refused(&|c| drop(c.outputs.pop())).contains("outputs"));
    let garbage = runtime().session(b"no graph", &bundle.manifest().model, &SessionOptions::default());
    assert!(matches!(garbage, Err(RuntimeError::Session { .. })));
}

#[test]
fn an_absent_provider_is_an_error_and_never_a_fallback() {
    let bundle = bundle();
    let graph = bundle.file(&bundle.variant(None).unwrap().1.file).unwrap();
    let provider = Provider::Cuda(CudaOptions { device_id: 63, ..CudaOptions::default() });
    let options = SessionOptions { provider, ..SessionOptions::default() };
    let error = runtime().session(graph, &bundle.manifest().model, &options).unwrap_err();
    assert!(matches!(error, RuntimeError::Session { .. } | RuntimeError::Provider { .. }), "{error:?}");
}

#[test]
fn a_second_library_in_one_process_is_refused() {
    runtime();
    let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
    assert!(matches!(error, RuntimeError::OtherLibrary { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/libonnxruntime.so"));
}
