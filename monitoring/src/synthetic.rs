//! Synthetic rows for tests.

use crate::observation::{Observation, Outcome, Score};
use crate::quantity::N_INPUTS;
use crate::stream::{Model, Stream};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, LazyLock};
use time::OffsetDateTime;
use uuid::Uuid;

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let text = |value: &str| value.to_owned();
    Arc::new(Model { version: text("1.0.0"), digest: text("ab"), variant: text("default") })
});

/// The stream with the model, or the one of image statistics.
pub(crate) fn stream(with_model: bool) -> Stream {
    let model = with_model.then(|| (**MODEL).clone());
    Stream { site: "site".into(), slice: Stream::ALL.into(), model }
}

/// Sum of uniform numbers: close to a standard normal one.
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// An image, 200 a day.
pub(crate) fn observation(leaf: u64, rng: &mut ChaCha8Rng) -> Observation {
    let mut inputs = [0.0; N_INPUTS];
    for input in &mut inputs {
        *input = 0.5 + 0.1 * normal(rng);
    }
    // Constant, and mostly tied.
    inputs[9] = 1.0;
    inputs[11] = if rng.random::<f64>() < 0.9 { 0.0 } else { rng.random() };
    let is_positive = rng.random::<f64>() < 0.63;
    let probability = (if is_positive { 0.9 } else { 0.1 } + 0.03 * normal(rng)).clamp(0.0, 1.0);
    Observation {
        leaf_index: leaf,
        id: Uuid::from_u128(rng.random()),
        received_at: OffsetDateTime::from_unix_timestamp(1_736_121_600 + leaf as i64 * 432).unwrap(),
        site: "site".into(),
        patient_day: leaf,
        is_repeat: false,
        outcome: Outcome::Predicted,
        view: None,
        inputs: Some(inputs),
        score: Some(Score {
            model: Arc::clone(&MODEL),
            probability,
            threshold: 0.5,
            ood_score: normal(rng).abs() + 0.5,
            coordinates: (0..3).map(|_| normal(rng) as f32).collect(),
            review_required: false,
        }),
    }
}

pub(crate) fn rejected(leaf: u64, reason: &str) -> Observation {
    Observation {
        leaf_index: leaf,
        id: Uuid::from_u128(leaf.into()),
        received_at: OffsetDateTime::from_unix_timestamp(1_736_121_600 + leaf as i64 * 432).unwrap(),
        site: "site".into(),
        patient_day: leaf,
        is_repeat: false,
        outcome: Outcome::Rejected(reason.into()),
        view: None,
        inputs: None,
        score: None,
    }
}

/// Four weeks of images, of which one in `of` is rejected.
pub(crate) fn weeks(of: u64, rng: &mut ChaCha8Rng) -> Vec<Observation> {
    let image = |leaf: u64| if leaf % of == 1 { rejected(leaf, "blank") } else { observation(leaf, rng) };
    (0..5600).map(image).collect()
}
