//! A submission, and the case that is opened for it: the submission with its id, digests and model.

use super::cancellation::Cancellation;
use super::{Admission, Pipeline};
use crate::config::secret::Secret;
use crate::record::idempotency::RequestKey;
use crate::serving::Serving;
use crate::telemetry::traces::RequestTrace;
use crate::threads::JobLost;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use uuid::Uuid;

/// Up to this size, computing the digest takes less time than waking another thread for it.
const DIGESTED_AT_ONCE_BYTES: usize = 64 << 10;

/// One admitted image with what its client stated.
#[derive(Debug)]
pub struct Submission {
    pub request_id: String,
    pub actor: String,
    /// When the request's head arrived.
    pub received_at: OffsetDateTime,
    /// The same moment on the monotonic clock.
    pub started: Instant,
    pub trace: Arc<RequestTrace>,
    /// When the service began to receive the upload, and how long that took.
    pub upload: (Instant, Duration),
    pub cancellation: Cancellation,
    pub image: Bytes,
    pub stated: Stated,
    pub explain: bool,
    pub idempotency_key: Option<Secret>,
    pub admission: Admission,
}

/// What the client stated about the image, not parsed yet.
#[derive(Debug, Default, Clone)]
pub struct Stated {
    /// Identifier of the patient; never stored or logged.
    pub subject: Option<Secret>,
    /// Age in years or as a DICOM age string.
    pub age: Option<String>,
    /// DICOM View Position.
    pub view: Option<String>,
    /// DICOM Modality.
    pub modality: Option<String>,
}

/// A submission with its id: exactly one audit row is written for it.
pub(super) struct Case {
    pub(super) id: Uuid,
    pub(super) submission: Submission,
    pub(super) input_digest: [u8; 32],
    pub(super) key: Option<RequestKey>,
    /// From the request's head to the end of its body.
    pub(super) admitted_after: Duration,
    /// The current model when the case was opened; a reload does not change it.
    pub(super) serving: Arc<Serving>,
}

impl Case {
    pub(super) async fn open(
        submission: Submission,
        serving: &Arc<Serving>,
        pipeline: &Pipeline,
    ) -> Result<Self, JobLost> {
        let admitted_after = submission.started.elapsed();
        let input_digest = digest(&submission.image, pipeline).await?;
        let key = submission.idempotency_key.as_ref().map(|stated_key| {
            let content = content(&input_digest, &submission);
            let content: Vec<&[u8]> = content.iter().map(Vec::as_slice).collect();
            pipeline.idempotency_keys.key(&submission.actor, stated_key, &content)
        });
        let serving = Arc::clone(serving);
        Ok(Self { id: Uuid::now_v7(), submission, input_digest, key, admitted_after, serving })
    }
}

/// Everything that the answer depends on. An absent value differs from an empty one.
fn content(input_digest: &[u8; 32], submission: &Submission) -> [Vec<u8>; 6] {
    let Stated { subject, age, view, modality } = &submission.stated;
    let part = |text: Option<&str>| text.map_or_else(Vec::new, |text| [b"=", text.as_bytes()].concat());
    [
        input_digest.to_vec(),
        part(subject.as_ref().map(Secret::expose)),
        part(age.as_deref()),
        part(view.as_deref()),
        part(modality.as_deref()),
        vec![u8::from(submission.explain)],
    ]
}

async fn digest(image: &Bytes, pipeline: &Pipeline) -> Result<[u8; 32], JobLost> {
    if image.len() <= DIGESTED_AT_ONCE_BYTES {
        return Ok(pipeline.site_key.digest(image));
    }
    let (key, image) = (pipeline.site_key.clone(), image.clone());
    pipeline.decoders.run(move |_| key.digest(&image)).await
}
