//! Estimates beside the realised figures, and the withholding of those that do not hold.

use super::scores::{BENIGN, Fold, HARMFUL};
use super::{Args, peer};
use crate::monitoring::drift::images::Shift;
use anyhow::Result;
use monitoring::performance::Scored;
use monitoring::performance::estimate::{Basis, Known, estimate};
use monitoring::performance::guard::Guard;
use monitoring::snapshot::EstimateReport;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write;

const FIGURES: [&str; 3] = ["accuracy", "sensitivity", "specificity"];
const PARTS: u64 = 3;
/// Orders in which harmful images arrive.
const ORDERS: usize = 1000;
/// Images of a year.
const PER_YEAR: usize = 73_000;

/// One window with what it is estimated from.
struct Job {
    name: String,
    shift: Shift,
    reference: Vec<Known>,
    is_local: bool,
    window: Vec<Known>,
}

/// Tables of estimates: with the bundle's reference, and with the site's labels, in thirds by patient.
pub(super) fn tables(reference: &Fold, windows: &Fold, args: &Args) -> Result<String> {
    let mut text = String::new();
    let shifts = || BENIGN.into_iter().chain(HARMFUL);
    let of_bundle: Vec<Job> = shifts()
        .map(|shift| Job {
            name: shift.title().to_owned(),
            shift,
            reference: reference.clean().to_vec(),
            is_local: false,
            window: windows.shifts[&shift].clone(),
        })
        .collect();
    let part = |images: &[Known], part: u64, is_window: bool| -> Vec<Known> {
        images
            .iter()
            .filter(|image| (image.scored.patient_day % PARTS == part) == is_window)
            .cloned()
            .collect()
    };
    let of_site: Vec<Job> = shifts()
        .flat_map(|shift| (0..PARTS).map(move |third| (shift, third)))
        .map(|(shift, third)| Job {
            name: format!("{}; third {}", shift.title(), third + 1),
            shift,
            reference: part(windows.clean(), third, false),
            is_local: true,
            window: part(&windows.shifts[&shift], third, true),
        })
        .collect();
    for (title, jobs) in [("The bundle's reference", of_bundle), ("Labels of the site", of_site)] {
        text += &table(title, &jobs, reference, args)?;
    }
    Ok(text)
}

fn table(title: &str, jobs: &[Job], reference: &Fold, args: &Args) -> Result<String> {
    let peers = match &args.peer {
        Some(python) => {
            let jobs: Vec<_> =
                jobs.iter().map(|job| (job.name.clone(), &*job.reference, &*job.window)).collect();
            Some(peer::estimates(python, &args.cache, &jobs)?)
        }
        None => None,
    };
    let mut text = format!(
        "\n### {title}\n\n| window | n | status | figure | realised | cxr [95 %] | NannyML [interval] |\n|---|---|---|---|---|---|---|\n"
    );
    let mut errors = Errors::default();
    for job in jobs {
        let report = estimated(job, reference);
        let realised = realised(&job.window);
        let peer = peers.as_ref().and_then(|peers| peers.get(&job.name));
        for (figure, realised) in FIGURES.into_iter().zip(realised) {
            let ours = report.figures.get(figure).map(|found| [found.value, found.low, found.high]);
            let theirs = peer.and_then(|peer| peer.get(figure)).copied();
            let show = |found: Option<[f64; 3]>| {
                found.map_or("-".to_owned(), |[value, low, high]| format!("{value:.3} [{low:.3}, {high:.3}]"))
            };
            writeln!(
                text,
                "| {} | {} | {} | {figure} | {realised:.3} | {} | {} |",
                job.name,
                job.window.len(),
                report.status.name(),
                show(ours),
                show(theirs)
            )?;
            if BENIGN.contains(&job.shift) {
                errors.add(figure, realised, ours, theirs);
            } else {
                errors.harmful(ours.is_some());
            }
        }
        for (figure, bound) in &report.worst_case {
            let realised =
                FIGURES.iter().zip(realised).find(|(name, _)| *name == figure).map_or(f64::NAN, |(_, r)| r);
            writeln!(
                text,
                "| {} | {} | worst case | {figure} | {realised:.3} | {bound:.3} | |",
                job.name,
                job.window.len()
            )?;
        }
    }
    text += &errors.summary();
    Ok(text)
}

fn estimated(job: &Job, reference: &Fold) -> EstimateReport {
    let images: Vec<Scored> = job.window.iter().map(|image| image.scored.clone()).collect();
    let (bundle, local): (&[Known], &[Known]) =
        if job.is_local { (&[], &job.reference) } else { (&job.reference, &[]) };
    let guard = Some(guard(reference));
    estimate(&images, &Basis { bundle, base_rate: reference.base_rate, local, in_alarm: &[], guard })
}

/// The guard with the reference fold as the baseline.
fn guard(reference: &Fold) -> Guard {
    let n_out =
        reference.clean().iter().filter(|image| image.scored.ood_score > reference.ood_threshold).count();
    Guard::new(reference.ood_threshold, n_out as u64, reference.clean().len() as u64)
}

fn realised(window: &[Known]) -> [f64; FIGURES.len()] {
    let share = |class: Option<bool>| {
        let of = || window.iter().filter(move |image| class.is_none_or(|class| class == image.positive));
        of().filter(|image| image.scored.is_flagged() == image.positive).count() as f64 / of().count() as f64
    };
    [share(None), share(Some(true)), share(Some(false))]
}

/// Errors on benign windows.
#[derive(Default)]
struct Errors {
    ours: [Vec<f64>; FIGURES.len()],
    theirs: [Vec<f64>; FIGURES.len()],
    covered: [usize; FIGURES.len()],
    covered_by_peer: [usize; FIGURES.len()],
    n_harmful_published: usize,
}

impl Errors {
    fn add(&mut self, figure: &str, realised: f64, ours: Option<[f64; 3]>, theirs: Option<[f64; 3]>) {
        let i = FIGURES.iter().position(|name| *name == figure).unwrap_or(0);
        let sets = [
            (ours, &mut self.ours[i], &mut self.covered[i]),
            (theirs, &mut self.theirs[i], &mut self.covered_by_peer[i]),
        ];
        for (found, errors, covered) in sets {
            if let Some([value, low, high]) = found {
                errors.push((value - realised).abs());
                *covered += usize::from((low..=high).contains(&realised));
            }
        }
    }

    fn harmful(&mut self, is_published: bool) {
        self.n_harmful_published += usize::from(is_published);
    }

    fn summary(&self) -> String {
        let mut text = "\n| benign windows | mean absolute error, cxr | NannyML | covered, cxr | NannyML |\n|---|---|---|---|---|\n".to_owned();
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        for (i, figure) in FIGURES.iter().enumerate() {
            let _ = writeln!(
                text,
                "| {} | {:.4} | {:.4} | {} of {} | {} of {} |",
                figure,
                mean(&self.ours[i]),
                mean(&self.theirs[i]),
                self.covered[i],
                self.ours[i].len(),
                self.covered_by_peer[i],
                self.theirs[i].len()
            );
        }
        let _ = writeln!(text, "\nFigures published on harmful windows: {}.", self.n_harmful_published);
        text
    }
}

/// After how many images estimates are withheld.
pub(super) fn withholding(reference: &Fold, windows: &Fold) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut text = format!(
        "\n### Withholding\n\nThe limit is {:.1} % out of distribution.\n\n| shift | out of distribution | orders | withheld within 50 images | median images | largest |\n|---|---|---|---|---|---|\n",
        100.0 * guard(reference).limit()
    );
    for shift in HARMFUL {
        let images = &windows.shifts[&shift];
        let n_out = images.iter().filter(|image| guard(reference).is_out(image.scored.ood_score)).count();
        let mut delays: Vec<usize> = (0..ORDERS)
            .map(|_| {
                let mut order: Vec<&Known> = images.iter().collect();
                order.shuffle(&mut rng);
                let mut guard = guard(reference);
                order
                    .iter()
                    .position(|image| guard.observe(image.scored.ood_score))
                    .map_or(usize::MAX, |i| i + 1)
            })
            .collect();
        delays.sort_unstable();
        let within = delays.iter().filter(|delay| **delay <= 50).count();
        let _ = writeln!(
            text,
            "| {} | {:.1} % | {ORDERS} | {:.1} % | {} | {} |",
            shift.title(),
            100.0 * n_out as f64 / images.len() as f64,
            100.0 * within as f64 / ORDERS as f64,
            delays[ORDERS / 2],
            delays[ORDERS - 1]
        );
    }
    text += "\n| benign | images drawn | withheld |\n|---|---|---|\n";
    for shift in BENIGN {
        let images = &windows.shifts[&shift];
        let mut guard = guard(reference);
        let at = (0..10 * PER_YEAR)
            .find(|_| guard.observe(images[rng.random_range(0..images.len())].scored.ood_score));
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            shift.title(),
            10 * PER_YEAR,
            at.map_or("never".into(), |i| format!("at image {i}"))
        );
    }
    text
}
