//! The domain library of cxr: decoding, validation, preprocessing, calibration, decisions, scoring and model
//! bundles.
//!
//! Pure functions over bytes and numbers: no files, sockets, clocks, threads or async. `tests/tidy` keeps
//! tch, ort, axum, sqlx and tokio out. The trainer and the service call the same code, so what was measured
//! offline is what runs online.
//!
//! An image passes through a chain of types. Each is built only from the one before it:
//!
//! ```text
//! &[u8] --decode--> DecodedImage --accept--> AcceptedImage --preprocess--> ModelInput, then the model
//! logit --AffineCalibration--> Probability --DecisionPolicy--> Decision
//! ```

pub mod analysis;
pub mod bundle;
pub mod calibrate;
pub mod cancel;
pub mod decide;
pub mod decode;
pub mod embedding;
pub mod heatmap;
mod histogram;
pub mod image;
pub mod intended_use;
pub mod lettering;
pub mod limits;
pub mod metadata;
#[cfg(feature = "phantom")]
pub mod phantom;
pub mod preprocess;
pub mod reference;
pub mod reject;
pub mod statistics;
pub mod validate;
pub mod workspace;

pub use calibrate::{AffineCalibration, Probability};
pub use cancel::Cancel;
pub use decide::{Decision, DecisionPolicy};
pub use decode::{DecodeError, decode, decode_with};
pub use image::DecodedImage;
pub use limits::DecodeLimits;
pub use preprocess::{ModelInput, PreprocessSpec};
pub use reject::{RejectReason, Rejection};
pub use validate::{AcceptancePolicy, AcceptedImage};
pub use workspace::Workspace;
