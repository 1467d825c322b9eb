//! A row of `shadow_predictions`: a candidate's score of one image beside the answer.

use serde_json::Value;
use uuid::Uuid;

/// migrations/0002_expired_and_shadow.sql describes the columns.
#[derive(Debug)]
pub struct ShadowRow<'a> {
    pub prediction_id: Uuid,
    pub model_name: &'a str,
    pub model_version: &'a str,
    pub bundle_digest: &'a str,
    pub variant: &'a str,
    pub execution: &'a Value,
    pub policy_digest: &'a str,
    pub logit: f64,
    pub probability: f64,
    pub threshold: f64,
    pub decision: &'static str,
    pub answered_probability: f64,
    pub answered_decision: &'static str,
}
