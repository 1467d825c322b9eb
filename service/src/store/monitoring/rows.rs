//! Rows as monitoring reads them: without actor, request, subject and digests.

use crate::store::session::Session;
use crate::store::{Lease, Reader, StoreError};
use monitoring::observation::{Observation, Outcome, Score};
use monitoring::quantity::{INPUTS, N_INPUTS};
use monitoring::stream::Model;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Executor, Row};
use std::collections::HashSet;
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// Columns of the view, in the order in which [`Decoder`] reads them.
pub(super) const COLUMNS: &str =
    "leaf_index, id, received_at, site, patient_day, is_repeat, outcome, reason, view,
    image_statistics, model_version, bundle_digest, variant, probability, threshold, ood_score,
    embedding_coordinates, review_required";

/// Rows of consecutive leaves.
#[derive(Debug, Default)]
pub struct RowBatch {
    pub rows: Vec<Observation>,
    /// Leaves that were read, with and without a row.
    pub n_leaves: u64,
    /// The first leaf after them.
    pub next_leaf: u64,
}

impl RowBatch {
    /// Leaves whose row retention dropped.
    pub const fn n_gone(&self) -> u64 {
        self.n_leaves - self.rows.len() as u64
    }
}

/// Reads up to `limit` leaves from `from` on. A gap cannot be: the sequencer numbers leaves without one.
pub(super) async fn read(session: &mut Session, from: u64, limit: usize) -> Result<RowBatch, sqlx::Error> {
    let query = format!(
        "SELECT {COLUMNS} FROM monitoring_rows WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index"
    );
    let to = from + limit as u64;
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(from as i64).bind(to as i64);
    let found = session.fetch_all(query).await?;
    let mut decoder = Decoder::default();
    let mut batch = RowBatch { next_leaf: from, ..RowBatch::default() };
    for row in &found {
        batch.next_leaf = row.try_get::<i64, _>(0)? as u64 + 1;
        batch.n_leaves += 1;
        batch.rows.extend(decoder.observation(row)?);
    }
    Ok(batch)
}

/// Shares texts that every row repeats.
#[derive(Default)]
pub(super) struct Decoder {
    texts: HashSet<Arc<str>>,
    models: HashSet<Arc<Model>>,
}

impl Decoder {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    fn model(&mut self, model: Model) -> Arc<Model> {
        if let Some(known) = self.models.get(&model) {
            return Arc::clone(known);
        }
        let new = Arc::new(model);
        self.models.insert(Arc::clone(&new));
        new
    }

    /// The observation of a row; none if retention dropped the row.
    pub(super) fn observation(&mut self, row: &PgRow) -> Result<Option<Observation>, sqlx::Error> {
        let Some(received_at) = row.try_get::<Option<OffsetDateTime>, _>(2)? else { return Ok(None) };
        let outcome = match row.try_get(6)? {
            "predicted" => Outcome::Predicted,
            "rejected" => {
                Outcome::Rejected(self.text(row.try_get::<Option<&str>, _>(7)?.unwrap_or("unknown")))
            }
            "expired" => Outcome::Expired,
            _ => Outcome::Failed,
        };
        let view = row.try_get::<Option<&str>, _>(8)?.map(|view| self.text(view));
        let score = if outcome == Outcome::Predicted { Some(self.score(row)?) } else { None };
        let patient_day: &[u8] = row.try_get(4)?;
        Ok(Some(Observation {
            leaf_index: row.try_get::<i64, _>(0)? as u64,
            id: row.try_get::<Uuid, _>(1)?,
            received_at,
            site: self.text(row.try_get(3)?),
            patient_day: patient_day.try_into().map_or(0, u64::from_be_bytes),
            is_repeat: row.try_get(5)?,
            outcome,
            view,
            inputs: row.try_get::<Option<Json<Inputs>>, _>(9)?.map(|Json(Inputs(values))| values),
            score,
        }))
    }

    fn score(&mut self, row: &PgRow) -> Result<Score, sqlx::Error> {
        let model = Model { version: row.try_get(10)?, digest: row.try_get(11)?, variant: row.try_get(12)? };
        Ok(Score {
            model: self.model(model),
            probability: row.try_get(13)?,
            threshold: row.try_get(14)?,
            ood_score: row.try_get(15)?,
            coordinates: row.try_get(16)?,
            review_required: row.try_get(17)?,
        })
    }
}

/// `image_statistics` in the order of [`INPUTS`], decoded without a tree of values; NaN for what is missing.
struct Inputs([f64; N_INPUTS]);

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Inputs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inputs, A::Error> {
                let mut values = [f64::NAN; N_INPUTS];
                while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                    match INPUTS.iter().position(|known| *known == name) {
                        Some(at) => values[at] = map.next_value::<Option<f64>>()?.unwrap_or(f64::NAN),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Inputs(values))
            }
        }

        deserializer.deserialize_map(Values)
    }
}

impl Lease {
    /// Rows of up to `limit` leaves from `from` on.
    pub async fn monitoring_rows(&mut self, from: u64, limit: usize) -> Result<RowBatch, StoreError> {
        self.run(async |session| read(session, from, limit).await).await
    }
}

impl Reader {
    /// Rows of up to `limit` leaves from `from` on.
    pub async fn monitoring_rows(&self, from: u64, limit: usize) -> Result<RowBatch, StoreError> {
        self.0.run(async |session| read(session, from, limit).await).await
    }

    /// The first leaf whose row was received at `moment` or later, among rows that still exist.
    pub async fn first_leaf_since(&self, moment: OffsetDateTime) -> Result<Option<u64>, StoreError> {
        let query = "SELECT leaf.leaf_index FROM predictions AS entry
            JOIN audit_leaves AS leaf ON leaf.prediction_id = entry.id
            WHERE entry.id >= first_id($1) AND entry.received_at >= $1 ORDER BY entry.id LIMIT 1";
        let query = sqlx::query_scalar::<_, i64>(query).bind(moment);
        let found = self.0.run(async |session| query.fetch_optional(session).await).await?;
        Ok(found.map(|leaf| leaf as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_name_and_what_a_version_lacks_is_nan() {
        let text =
            r#"{"p50": 0.4, "entropy_bits": 5, "unknown": {"a": [1]}, "border": null, "megapixels": 1e308}"#;
        let Inputs(values) = serde_json::from_str(text).unwrap();
        let value = |name| values[INPUTS.iter().position(|known| *known == name).unwrap()];
        assert_eq!((value("p50"), value("entropy_bits"), value("megapixels")), (0.4, 5.0, 1e308));
        assert!(value("border").is_nan() && value("mean").is_nan());
    }
}
