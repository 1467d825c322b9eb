//! Image statistics and positions of the labelled images, from the rows of the log.

use super::rows::Row;
use anyhow::{Context, Result};
use cxr::embedding::EmbeddingPosition;
use cxr::statistics::ImageStatistics;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Of one row, as far as it has them.
#[derive(Debug, Default)]
pub(super) struct RowMeasurements {
    /// A row of version 1 of the statistics has some of them.
    statistics: BTreeMap<String, f64>,
    position: Option<EmbeddingPosition>,
}

impl RowMeasurements {
    pub(super) fn of(row: &Row) -> Result<Self> {
        let coordinates: Option<Vec<f32>> = parsed(row, "embedding_coordinates")?;
        let ood_score: Option<f64> = parsed(row, "ood_score")?;
        Ok(Self {
            statistics: parsed(row, "image_statistics")?.unwrap_or_default(),
            position: coordinates
                .zip(ood_score)
                .map(|(coordinates, ood_score)| EmbeddingPosition { coordinates, ood_score }),
        })
    }
}

fn parsed<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>> {
    let parse = |text| serde_json::from_str(text).with_context(|| format!("{column}: not as in the log"));
    row.text(column).map(parse).transpose()
}

/// Of all labelled images. A distribution of some of them would be of another population, so that only what
/// every row has is measured.
#[derive(Debug, Default, PartialEq)]
pub struct LoggedMeasurements {
    pub statistics: BTreeMap<&'static str, Vec<f64>>,
    /// Empty if not measured.
    pub positions: Vec<EmbeddingPosition>,
    /// Reason by name.
    pub not_measured: BTreeMap<String, String>,
}

impl LoggedMeasurements {
    pub(super) fn of(rows: &[RowMeasurements]) -> Self {
        let mut found = Self::default();
        let missing = |has: usize| format!("{has} of {} labelled rows have it", rows.len());
        for name in ImageStatistics::NAMES {
            let values: Vec<f64> = rows.iter().filter_map(|row| row.statistics.get(name).copied()).collect();
            if values.len() < rows.len() {
                found.not_measured.insert(name.to_owned(), missing(values.len()));
            } else {
                found.statistics.insert(name, values);
            }
        }
        found.positions = rows.iter().filter_map(|row| row.position.clone()).collect();
        let length = found.positions.first().map_or(0, |position| position.coordinates.len());
        let n_alike = found.positions.iter().filter(|position| position.coordinates.len() == length).count();
        if n_alike < rows.len() {
            found.positions.clear();
            found.not_measured.insert("position".to_owned(), missing(n_alike));
        }
        found
    }
}
