//! Windows add up to the log, and the engine gives the same bits wherever it was interrupted.

use super::*;
use crate::baseline::Options;
use crate::observation::{Outcome, Score};
use crate::quantity::N_INPUTS;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use time::Duration;
use time::macros::datetime;

const KEY: &[u8] = b"a key of these tests";

fn model() -> Arc<Model> {
    Arc::new(Model { version: "1.0.0".into(), digest: "ab".repeat(32), variant: "fp32".into() })
}

/// A log of `n` rows, every ten minutes, of which some come late; after `shift_from` the images are darker.
fn log(n: u64, shift_from: u64) -> Vec<Observation> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let model = model();
    (0..n)
        .map(|leaf_index| {
            let late = if random.random_ratio(1, 40) { Duration::hours(3) } else { Duration::ZERO };
            let shift = if leaf_index < shift_from { 0.0 } else { 0.6 };
            let inputs: [f64; N_INPUTS] = std::array::from_fn(|_| random.random::<f64>() * (1.0 - shift));
            let probability = random.random::<f64>() * (1.0 - shift);
            let is_rejected = random.random_ratio(1, 50);
            let score = Score {
                model: Arc::clone(&model),
                probability,
                threshold: 0.5,
                ood_score: if random.random_ratio(1, 500) { f64::MAX } else { random.random() },
                coordinates: (0..4).map(|_| random.random::<f32>() - 0.5).collect(),
                review_required: random.random_ratio(1, 5),
            };
            Observation {
                leaf_index,
                id: Uuid::from_u128(random.random()),
                received_at: datetime!(2026-01-01 00:00 UTC) + Duration::minutes(10 * leaf_index as i64)
                    - late,
                site: "main".into(),
                patient_day: leaf_index,
                is_repeat: random.random_ratio(1, 10),
                outcome: if is_rejected { Outcome::Rejected("blank".into()) } else { Outcome::Predicted },
                view: [Some("PA".into()), Some("AP".into()), None][random.random_range(0..3)].clone(),
                inputs: (!is_rejected).then_some(inputs),
                score: (!is_rejected).then_some(score),
            }
        })
        .collect()
}

/// The label of a row.
fn label(position: u64, row: &Observation) -> Option<LabelledObservation> {
    let score = row.score.clone()?;
    Some(LabelledObservation {
        position,
        prediction_id: row.id,
        received_at: row.received_at,
        recorded_at: row.received_at + Duration::DAY,
        site: Arc::clone(&row.site),
        view: row.view.clone(),
        patient_day: row.patient_day,
        is_repeat: row.is_repeat,
        positive: score.probability < 0.5,
        score,
        is_correction: false,
        inclusion_probability: Some(1.0),
    })
}

/// An armed baseline of a stream.
fn baseline(stream: &Stream, rows: &[Observation]) -> Arc<Baseline> {
    let own: Vec<Observation> = rows.iter().filter(|row| belongs(row, stream)).cloned().collect();
    let options = Options { min_images: 100, min_weeks: 1, ..Options::default() };
    let mut baseline = Baseline::propose(stream, &own, &options).unwrap();
    for setting in &mut baseline.settings {
        setting.is_armed = true;
        setting.threshold = 100_000.0;
    }
    Arc::new(baseline)
}

/// Everything that an engine gave.
#[derive(Debug, Default, PartialEq)]
struct Given {
    closed: Vec<(StreamId, Closed)>,
    alarms: Vec<AlarmOpened>,
    samples: Vec<SampleDrawn>,
}

/// Runs the log with decisions at fixed leaves, stored and resumed at each of `cuts`.
fn run(rows: &[Observation], cuts: &[u64]) -> (Vec<Vec<u8>>, Given) {
    let mut engine = Engine::new(Settings::default(), KEY);
    let (mut given, mut baselines, mut stored) = (Given::default(), BTreeMap::new(), BTreeMap::new());
    let mut n_labels = 0;
    for (at, row) in (0..).zip(rows) {
        if at == 10 {
            engine.configure(Settings { sensitivity: Some(0.9), sample_rate: 0.1, ..Settings::default() });
        }
        if at == 2000 {
            for (id, name) in [(0, 1), (1, 2)] {
                let baseline = baseline(engine.streams()[id as usize].stream(), &rows[..2000]);
                baselines.insert(Uuid::from_u128(name), Arc::clone(&baseline));
                engine.approve(id, Uuid::from_u128(name), baseline);
            }
        }
        if at == 3800 {
            let alarm = given.alarms.iter().find(|alarm| alarm.detector == "inputs").expect("an alarm").id;
            engine.resolve(0, alarm);
        }
        engine.observe(row);
        if let Some(label) = label(n_labels, row).filter(|_| at % 3 == 0) {
            engine.label(&label);
            n_labels += 1;
        }
        let effects = engine.take_effects();
        effects.changed.iter().for_each(|id| drop(stored.insert(*id, engine.encode(*id))));
        given.closed.extend(effects.closed);
        given.alarms.extend(effects.alarms);
        given.samples.extend(effects.samples);
        if cuts.contains(&at) {
            // Only what was reported as changed is in the database.
            let streams = (0..).zip(engine.streams());
            let states = streams.map(|(id, state)| (state.stream().clone(), stored.get(&id).cloned()));
            let (states, settings) = (states.collect(), engine.settings().clone());
            engine = Engine::resume(settings, KEY, states, &baselines).unwrap();
        }
    }
    ((0..engine.streams().len()).map(|id| engine.encode(id as StreamId)).collect(), given)
}

#[test]
fn an_engine_that_is_resumed_at_any_leaf_gives_the_same_bits() {
    let rows = log(4500, 3000);
    let (states, given) = run(&rows, &[]);
    let found: BTreeSet<&str> = given.alarms.iter().map(|alarm| alarm.detector).collect();
    assert!(found.is_superset(&["inputs", "score", "misses"].into()), "{found:?}");
    // The labels contradict every answer, from the first one on.
    let of_labels = |detector| ["misses", "calibration"].contains(&detector);
    let early = given.alarms.iter().find(|alarm| !of_labels(alarm.detector) && alarm.leaf < 3000);
    assert!(early.is_none(), "{early:?}");
    assert!(given.samples.len() > 100);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..3 {
        let cuts: Vec<u64> = (0..8).map(|_| random.random_range(0..4500)).collect();
        let (resumed, again) = run(&rows, &cuts);
        assert_eq!(given, again, "{cuts:?}");
        assert_eq!(states, resumed, "{cuts:?}");
    }
}

#[test]
fn hours_and_days_add_up_to_the_log() {
    let rows = log(2000, 2000);
    let mut engine = Engine::new(Settings::default(), KEY);
    for row in &rows {
        engine.observe(row);
    }
    let closed = engine.take_effects().closed;
    let n = |stream, span| {
        let of = closed.iter().filter(|(id, window)| *id == stream && window.span == span);
        of.map(|(_, window)| window.content.window.n_rows()).sum::<u64>()
    };
    for (id, state) in (0..).zip(engine.streams()) {
        let own = rows.iter().filter(|row| belongs(row, state.stream())).count() as u64;
        let counts = state.counts();
        let n_rejected: u64 = counts.n_rejected.values().sum();
        assert_eq!(counts.n_predicted + n_rejected, own, "{:?}", state.stream());
        // A day closes after its hours; the last one is open.
        assert!(n(id, Span::Hour) <= own && n(id, Span::Hour) > own * 9 / 10);
        assert!(n(id, Span::Day) <= n(id, Span::Hour));
        let open = state.open_counts(OffsetDateTime::UNIX_EPOCH);
        let n_open = open.n_predicted + open.n_rejected.values().sum::<u64>();
        assert_eq!(n(id, Span::Day) + n_open, own);
    }
    let starts = |(id, window): &(u32, Closed)| (*id, window.span, window.starts);
    let distinct: BTreeSet<_> = closed.iter().map(starts).collect();
    assert!(distinct.len() < closed.len(), "rows that came late make further revisions");
}

#[test]
fn streams_beyond_the_limit_are_counted_and_clocks_that_jump_close_nothing_for_good() {
    let mut rows = log(300, 300);
    for (at, row) in (0..).zip(&mut rows) {
        row.site = format!("site {}", at % 60).into();
    }
    rows[5].received_at = datetime!(2099-01-01 00:00 UTC);
    rows[6].received_at = datetime!(1895-11-08 00:00 UTC);
    let mut engine = Engine::new(Settings::default(), KEY);
    for row in &rows {
        engine.observe(row);
    }
    assert_eq!(engine.streams().len(), MAX_STREAMS);
    assert!(engine.n_pooled() > 100, "{}", engine.n_pooled());
    let effects = engine.take_effects();
    assert!(effects.closed.len() < 600, "{}", effects.closed.len());
    let state = engine.encode(0);
    assert!(
        StreamState::decode(
            engine.streams()[0].stream().clone(),
            &state[..state.len() - 1],
            &Settings::default(),
            &BTreeMap::new()
        )
        .is_err()
    );
}
