//! A row of `shadow_predictions`: what a candidate said of an image next to what was answered.

use serde_json::Value;
use uuid::Uuid;

/// One candidate's score of one image.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each field is a column; migrations/0002_expired_and_shadow.sql describes them"
)]
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
