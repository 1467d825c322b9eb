//! The audit row in the API: the columns under their own names, and the current label.

use crate::record::Hex;
use crate::record::columns::with_columns;
use crate::store::LabelledPrediction;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! prediction_record {
    ($(
        $(#[doc = $doc:tt])+ $(#[api($($api:meta),+)])?
        $name:ident: $type:ty $(, $rule:ident $($version:literal)?)?;
    )*) => {
        /// One audit row, without the coordinates of the embedding.
        #[derive(Debug, Serialize, ToSchema)]
        pub(super) struct PredictionRecord {
            $($(#[doc = $doc])+ $($(#[$api])+)? $name: $type,)*
            #[doc = "Current label, `positive` or `negative`. The three label fields are recorded later and are not \
                     part of the signed row."]
            label: Option<String>,
            /// Origin of the current label.
            source: Option<String>,
            /// When the current label was established.
            #[serde(with = "time::serde::rfc3339::option")]
            #[schema(value_type = Option<String>, format = DateTime)]
            labelled_at: Option<OffsetDateTime>,
        }

        impl PredictionRecord {
            /// Names of the fields, in order: the header of a CSV export.
            pub(super) const COLUMNS: &[&str] = &[$(stringify!($name),)* "label", "source", "labelled_at"];
        }

        impl From<LabelledPrediction> for PredictionRecord {
            fn from(LabelledPrediction { row, label }: LabelledPrediction) -> Self {
                let labelled_at = label.as_ref().map(|label| label.labelled_at);
                let (label, source) = label.map(|label| (label.label, label.source)).unzip();
                Self { $($name: row.$name,)* label, source, labelled_at }
            }
        }
    };
}
with_columns!(api, prediction_record);

impl PredictionRecord {
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }
}
