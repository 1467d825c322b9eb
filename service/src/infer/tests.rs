//! Tests of the engine with fake backends: batches, failures, deadlines, cancellation.

use super::*;
use cxr::metadata::AcquisitionMetadata;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use cxr::preprocess::{PreprocessSpec, preprocess};
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::future::pending;

/// A backend whose logit is the mean brightness. It fails on images of one brightness, or on all.
#[derive(Clone, Default)]
struct Brightness {
    failing: Arc<AtomicBool>,
    poison: Option<u8>,
    takes: Duration,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl Backend for Brightness {
    fn run(&mut self, images: &[&[u8]]) -> Result<ModelOutputs, BackendError> {
        self.batches.lock().unwrap().push(images.len());
        std::thread::sleep(self.takes);
        let poisoned = images.iter().position(|image| Some(image[0]) == self.poison);
        if let Some(index) = poisoned.or(self.failing.load(Ordering::Relaxed).then_some(0)) {
            return Err(RuntimeError::NotFinite { index }.into());
        }
        let mean = |image: &&[u8]| image.iter().map(|p| f32::from(*p)).sum::<f32>() / image.len() as f32;
        let n = images.len();
        Ok(ModelOutputs {
            logits: images.iter().map(mean).collect(),
            cam: vec![0.0; n],
            cam_size: (1, 1),
            embedding: vec![0.0; n],
            embedding_length: 1,
        })
    }
}

fn start<B: Backend>(
    backends: Vec<B>,
    single_image: Option<SingleImageSession<B>>,
    max_batch: usize,
    execution: &str,
) -> Engine {
    let (max_delay, sessions) = (Duration::from_millis(5), backends.len());
    let policy = BatchPolicy { max_batch, max_delay, sessions, has_single_image_session: false };
    let proof = ProviderProof { provider: "test".into(), assigned_nodes: BTreeMap::default() };
    let facts = EngineFacts { probe: vec![7; 4], proof, execution: execution.into() };
    Engine::start(backends, single_image, policy, 0, facts, None).unwrap()
}

fn engine(backend: &Brightness, max_batch: usize) -> Engine {
    start(vec![backend.clone()], None, max_batch, "shared")
}

fn input(seed: u64) -> Arc<ModelInput> {
    let spec = PhantomSpec { seed, width: 256, height: 256, opacity: false };
    let image = cxr::decode(&encode_png(&generate(&spec), 256, 256), &DecodeLimits::default()).unwrap();
    let accepted =
        AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default()).unwrap();
    Arc::new(preprocess(&accepted, &PreprocessSpec::default()))
}

fn later(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn a_failure_is_remembered_until_the_probe_runs_again() {
    let backend = Brightness::default();
    let engine = engine(&backend, 1);
    assert!(engine.run(input(1), later(5000), false, pending(), None).await.unwrap().logit > 0.0);
    backend.failing.store(true, Ordering::Relaxed);
    assert!(engine.is_healthy().await, "known from the last image");
    let failed = engine.run(input(1), later(5000), false, pending(), None).await;
    assert!(matches!(failed, Err(InferenceError::Backend(_))));
    assert!(!engine.is_healthy().await);
    backend.failing.store(false, Ordering::Relaxed);
    assert!(engine.is_healthy().await);
}

#[tokio::test]
async fn images_that_arrive_while_the_session_is_busy_run_together_and_each_gets_its_own_answer() {
    let backend = Brightness { takes: Duration::from_millis(30), ..Brightness::default() };
    let engine = Arc::new(engine(&backend, 8));
    let inputs: Vec<_> = (0..9).map(input).collect();
    let runs = inputs.iter().map(|input| engine.run(Arc::clone(input), later(5000), false, pending(), None));
    let answers = join_all(runs).await;
    for (input, answer) in inputs.iter().zip(answers) {
        let mean = input.pixels().iter().map(|p| f32::from(*p)).sum::<f32>() / input.pixels().len() as f32;
        assert!((answer.unwrap().logit - mean).abs() < 1e-3);
    }
    let batches = backend.batches.lock().unwrap().clone();
    assert_eq!(batches.iter().sum::<usize>(), 9);
    assert!(batches.len() <= 3, "{batches:?}");
}

#[tokio::test]
async fn an_image_with_no_other_in_flight_gets_the_single_image_session() {
    let backend = || Brightness { takes: Duration::from_millis(50), ..Brightness::default() };
    let (shared, single) = (backend(), backend());
    let session = SingleImageSession { backend: single.clone(), execution: Value::from("single") };
    let engine = start(vec![shared.clone(), shared.clone()], Some(session), 1, "shared");
    for _ in 0..3 {
        let answer = engine.run(input(1), later(5000), true, pending(), None).await.unwrap();
        assert_eq!(*answer.execution, Value::from("single"), "the answer names its session");
    }
    assert_eq!((single.batches.lock().unwrap().len(), shared.batches.lock().unwrap().len()), (3, 0));
    let runs = (0..8).map(|seed| engine.run(input(seed), later(5000), seed == 0, pending(), None));
    let answers = join_all(runs).await;
    let beside = answers.iter().filter(|answer| *answer.as_ref().unwrap().execution == "shared");
    assert!(beside.count() >= 6, "images that arrive together share the sessions");
    assert!(engine.is_healthy().await);
}

#[tokio::test]
async fn one_bad_image_fails_alone() {
    let inputs: Vec<_> = (0..6).map(input).collect();
    let poison = inputs[3].pixels()[0];
    let expected: Vec<bool> = inputs.iter().map(|input| input.pixels()[0] != poison).collect();
    let backend =
        Brightness { poison: Some(poison), takes: Duration::from_millis(20), ..Brightness::default() };
    let engine = engine(&backend, 8);
    let runs = inputs.iter().map(|input| engine.run(Arc::clone(input), later(5000), false, pending(), None));
    let answers = join_all(runs).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), expected);
    assert!(expected.contains(&true) && expected.contains(&false));
}

#[tokio::test]
async fn what_expired_or_was_cancelled_in_the_queue_never_runs() {
    let backend = Brightness { takes: Duration::from_millis(1500), ..Brightness::default() };
    let engine = Arc::new(engine(&backend, 1));
    let first = tokio::spawn({
        let (engine, input) = (Arc::clone(&engine), input(0));
        async move { engine.run(input, later(5000), false, pending(), None).await }
    });
    while backend.batches.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    let disconnected = tokio::time::sleep(Duration::from_millis(10));
    let (expired, cancelled) = tokio::join!(
        engine.run(input(1), later(10), false, pending(), None),
        engine.run(input(2), later(5000), false, disconnected, None),
    );
    assert!(started.elapsed() < Duration::from_millis(700), "they do not wait for the session");
    assert!(matches!(expired, Err(InferenceError::Expired)), "{expired:?}");
    assert!(matches!(cancelled, Err(InferenceError::Cancelled)), "{cancelled:?}");
    assert!(first.await.unwrap().is_ok());
    assert!(engine.run(input(3), later(5000), false, pending(), None).await.is_ok());
    assert_eq!(backend.batches.lock().unwrap().len(), 2, "the first and the last");
}

/// The session's clock and the sender's timer may see a deadline pass in either order.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_image_is_never_a_failure_of_the_model() {
    let backend = Brightness { takes: Duration::from_micros(200), ..Brightness::default() };
    let engine = Arc::new(engine(&backend, 1));
    let input = input(1);
    for _ in 0..200 {
        let runs = (1..=16).map(|n| {
            let deadline = Instant::now() + n * Duration::from_micros(250);
            engine.run(Arc::clone(&input), deadline, false, pending(), None)
        });
        for answer in join_all(runs).await {
            assert!(matches!(answer, Ok(_) | Err(InferenceError::Expired)), "{answer:?}");
        }
        assert!(engine.is_healthy().await, "a late image is not a failure of the model");
    }
}

#[tokio::test]
async fn what_already_runs_is_answered_after_its_client_disconnected() {
    let backend = Brightness { takes: Duration::from_millis(600), ..Brightness::default() };
    let (engine, input) = (engine(&backend, 1), input(1));
    let disconnected = tokio::time::sleep(Duration::from_millis(300));
    assert!(engine.run(input, later(400), false, disconnected, None).await.is_ok());
}

#[tokio::test]
async fn sessions_end_with_their_engine() {
    struct Alive(#[expect(dead_code, reason = "its end is what counts")] Arc<()>);
    impl Backend for Alive {
        fn run(&mut self, _: &[&[u8]]) -> Result<ModelOutputs, BackendError> {
            Err(BackendError::Short)
        }
    }
    let alive = Arc::new(());
    drop(start(vec![Alive(Arc::clone(&alive))], None, 1, "shared"));
    let ended = async {
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the thread ends");
}
