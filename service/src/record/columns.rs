//! The columns of the table `predictions`, declared once.
//!
//! [`AuditRow`] and its canonical form (here), the insert and the select list (`store/predictions.rs`), and
//! the API's record with its schema and CSV header (`http/record.rs`) are generated from `with_columns!`. A
//! new column is one line there, a migration, and its value in `pipeline/record.rs`. `tests/audit/columns.rs`
//! compares the declaration with the database.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

/// Version of the columns and of the canonical form, stored in each row. Raise it when either changes.
///
/// - 1: no leaf
/// - 3: `subject`
/// - 4: the leaf binds the id (`leaf.rs`)
/// - 5: `orientation`, `assumed`, the scale of the heatmap, and the decision `refer`
pub const ENCODING_VERSION: i16 = 5;

/// Calls the macro `$then` with the columns, in the order of the API and of its CSV: `all` of them, or those
/// of the `api`. Append a new column, because clients read the CSV by position.
///
/// Each has a description, attributes of the API's field, a name and a Rust type. At the end of the line
/// stands what sets the column apart:
/// - `microseconds`: the canonical form has the time with six decimals;
/// - `by_database`: the database sets it, and neither the insert nor the canonical form has it;
/// - `since N`: encoding version N added it. The canonical form omits it if it is null, so rows from before
///   keep their leaves.
///
/// A new column is an `Option`, ends with `since N`, and raises [`ENCODING_VERSION`] to N.
macro_rules! with_columns {
    (api, $then:ident) => { with_columns! { @list $then {} } };
    (all, $then:ident) => { with_columns! { @list $then {
        /// Coordinates of the embedding along the bundle's components.
        embedding_coordinates: Option<Vec<f32>>;
    } } };
    (@list $then:ident { $($internal:tt)* }) => { $then! {
        /// Id of the audit row.
        id: Uuid;
        /// The `X-Request-Id` of the request.
        request_id: String;
        /// When the request arrived, by the service's clock.
        #[api(serde(with = "time::serde::rfc3339"), schema(value_type = String, format = DateTime))]
        received_at: OffsetDateTime, microseconds;
        /// When the row was inserted, by the database clock.
        #[api(serde(with = "time::serde::rfc3339::option"), schema(value_type = String, format = DateTime))]
        recorded_at: Option<OffsetDateTime>, by_database;
        /// The `sub` of the token.
        actor: String;
        /// The configured site of the service (`audit.site`).
        site: String;
        /// Pseudonym of the patient, in hexadecimal.
        #[api(schema(value_type = Option<String>))]
        subject: Option<Hex>, since 3;
        /// Version of the rules by which the row is encoded and signed.
        encoding_version: i16;
        /// `predicted`, `rejected`, `expired` or `failed`.
        outcome: String;
        /// Why the row has no prediction; null if it has one.
        reason: Option<String>;
        /// HMAC-SHA256 of the upload under the site's key, in hexadecimal.
        #[api(schema(value_type = String))]
        input_digest: Hex;
        /// Size of the upload in bytes.
        input_bytes: i64;
        /// File format of the image.
        format: Option<String>;
        /// Width of the upright image in pixels.
        width: Option<i32>;
        /// Height of the upright image in pixels.
        height: Option<i32>;
        /// Bits per sample that carry information.
        significant_bits: Option<i16>;
        /// Colour of the stored pixels.
        colour: Option<String>;
        /// EXIF orientation in the file (1 to 8). Since encoding version 5.
        orientation: Option<i16>, since 5;
        /// Age in years, from the request or the file.
        age_years: Option<f32>;
        /// View position, from the request or the file.
        view: Option<String>;
        /// Modality, from the request or the file.
        modality: Option<String>;
        /// Site-wide patient data the decision relied on because this image had none of its own.
        #[api(schema(value_type = Option<Object>))]
        assumed: Option<Value>, since 5;
        /// Version of the definition of `image_statistics`.
        statistics_version: Option<i16>;
        /// Pixel statistics of the validated image, by name: 18 since version 2, of which version 1 has 11.
        #[api(schema(value_type = Option<Object>))]
        image_statistics: Option<Value>;
        /// Name of the bundle.
        model_name: Option<String>;
        /// Version of the bundle.
        model_version: Option<String>;
        /// SHA-256 of the bundle's manifest.
        bundle_digest: Option<String>;
        /// Variant that ran.
        variant: Option<String>;
        /// Execution fingerprint: everything that can change the last bits of an output.
        #[api(schema(value_type = Option<Object>))]
        execution: Option<Value>;
        /// SHA-256 of the calibration, policy and intended use.
        policy_digest: Option<String>;
        /// Uncalibrated output of the model.
        logit: Option<f64>;
        #[doc = "Calibrated probability of the positive class. The row has it even if the decision is `refer` and \
                 the answer had none."]
        probability: Option<f64>;
        /// Calibrated probability of the class on this side of the threshold.
        confidence: Option<f64>;
        /// Operating point: an image with at least this probability is positive.
        threshold: Option<f64>;
        /// `positive`, `negative` or `refer`.
        decision: Option<String>;
        /// Whether the image requires review by a radiologist.
        review_required: Option<bool>;
        /// The rule that determined the decision.
        decision_reason: Option<String>;
        /// Out-of-distribution score: distance of the embedding from the training data.
        ood_score: Option<f64>;
        /// Class activation map, in row-major order.
        cam: Option<Vec<f32>>;
        /// Columns of `cam`.
        cam_width: Option<i16>;
        /// Rows of `cam`.
        cam_height: Option<i16>;
        /// Lower end of the bundle's heatmap scale; lower values are transparent.
        heatmap_low: Option<f32>, since 5;
        /// Upper end of the bundle's heatmap scale; higher values have the last colour.
        heatmap_high: Option<f32>, since 5;
        /// Duration of each phase up to the insert, in milliseconds.
        #[api(schema(value_type = Object))]
        timings: Value;
        $($internal)*
    } };
}
pub(crate) use with_columns;

/// Writes one member of the canonical form.
macro_rules! member {
    ($form:ident, $name:ident, $value:expr) => {
        $form.serialize_field(stringify!($name), $value)?;
    };
    ($form:ident, $name:ident, $value:expr, microseconds) => {
        $form.serialize_field(stringify!($name), &microseconds(*$value))?;
    };
    ($form:ident, $name:ident, $value:expr, since $version:literal) => {
        if let Some(value) = $value {
            $form.serialize_field(stringify!($name), value)?;
        }
    };
    ($form:ident, $name:ident, $value:expr, by_database) => {};
}

macro_rules! audit_row {
    ($(
        $(#[doc = $doc:tt])+ $(#[api($($api:tt)*)])?
        $name:ident: $type:ty $(, $rule:ident $($version:literal)?)?;
    )*) => {
        /// A row of `predictions`: one admitted image. `recorded_at` is `None` until the row is read back.
        #[derive(Debug, sqlx::FromRow)]
        pub struct AuditRow {
            $($(#[doc = $doc])+ pub $name: $type,)*
        }

        /// The members of the canonical form.
        impl Serialize for AuditRow {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let columns = [$(stringify!($name)),*];
                let mut form = serializer.serialize_struct("AuditRow", columns.len())?;
                $(member!(form, $name, &self.$name $(, $rule $($version)?)?);)*
                form.end()
            }
        }
    };
}
with_columns!(all, audit_row);

impl AuditRow {
    /// The canonical form (RFC 8785): what the leaf is made of, and what an export holds.
    pub fn canonical(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self)
    }
}

/// Bytes that JSON has in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

/// A time in UTC as Postgres keeps it: truncated to microseconds, always with six decimals.
pub(crate) fn microseconds(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests;
