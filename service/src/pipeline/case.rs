//! What the door hands over, and the case that is opened for it: an id, and a digest in place of an identity.

use super::cancellation::Cancellation;
use super::{Admission, Pipeline};
use crate::config::secret::Secret;
use crate::record::idempotency::RequestKey;
use crate::serving::Serving;
use crate::threads::JobLost;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use uuid::Uuid;

/// A few tens of microseconds of SHA-256 where the processor has instructions for it: a stored radiograph of the
/// model's size has a tenth of that.
const DIGESTED_AT_ONCE_BYTES: usize = 64 << 10;

/// One admitted image with what the client said of it.
#[derive(Debug)]
pub struct Submission {
    /// Groups the images of one request.
    pub request_id: String,
    /// Subject of the token.
    pub actor: String,
    /// When the request began.
    pub received_at: OffsetDateTime,
    /// The same moment on the clock that durations are taken from.
    pub started: Instant,
    /// How long somebody waits for it.
    pub cancellation: Cancellation,
    /// The upload.
    pub image: Bytes,
    /// What the client stated of the acquisition.
    pub stated: Stated,
    /// Whether a heatmap is wanted.
    pub explain: bool,
    /// What the client calls this request, so that a retry gets the same answer.
    pub idempotency_key: Option<Secret>,
    /// The place at the door.
    pub admission: Admission,
}

/// What the client said of the image, unread.
#[derive(Debug, Default, Clone)]
pub struct Stated {
    /// Identifier of the person; never written down.
    pub subject: Option<Secret>,
    /// Age in years or as a DICOM age string.
    pub age: Option<String>,
    /// DICOM View Position.
    pub view: Option<String>,
    /// DICOM Modality.
    pub modality: Option<String>,
}

/// A submission that has its id: from here on exactly one row will be written.
pub(super) struct Case {
    pub(super) id: Uuid,
    pub(super) request_id: String,
    pub(super) actor: String,
    pub(super) received_at: OffsetDateTime,
    pub(super) started: Instant,
    pub(super) image: Bytes,
    pub(super) input_digest: [u8; 32],
    pub(super) stated: Stated,
    pub(super) explain: bool,
    pub(super) key: Option<RequestKey>,
    /// From the request's head to the end of its body.
    pub(super) admitted_after: Duration,
    pub(super) cancellation: Cancellation,
    /// What served when the case was opened, and stays for it.
    pub(super) serving: Arc<Serving>,
    pub(super) admission: Admission,
}

impl Case {
    pub(super) async fn open(
        submission: Submission,
        serving: &Arc<Serving>,
        pipeline: &Pipeline,
    ) -> Result<Self, JobLost> {
        let Submission {
            request_id,
            actor,
            received_at,
            started,
            image,
            stated,
            explain,
            idempotency_key,
            cancellation,
            admission,
        } = submission;
        let admitted_after = started.elapsed();
        let input_digest = digest(&image, pipeline).await?;
        let key = idempotency_key.map(|stated_key| {
            let sent = fingerprint(&input_digest, &stated, explain);
            let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
            pipeline.idempotency_keys.key(&actor, &stated_key, &sent)
        });
        let id = Uuid::now_v7();
        Ok(Self {
            id,
            request_id,
            actor,
            received_at,
            started,
            image,
            input_digest,
            stated,
            explain,
            key,
            admitted_after,
            cancellation,
            serving: Arc::clone(serving),
            admission,
        })
    }
}

/// Everything that decides what the answer is. Each may be absent, which is not the same as empty.
fn fingerprint(input_digest: &[u8; 32], stated: &Stated, explain: bool) -> [Vec<u8>; 6] {
    let Stated { subject, age, view, modality } = stated;
    let part = |text: Option<&str>| text.map_or_else(Vec::new, |text| [b"=", text.as_bytes()].concat());
    [
        input_digest.to_vec(),
        part(subject.as_ref().map(Secret::expose)),
        part(age.as_deref()),
        part(view.as_deref()),
        part(modality.as_deref()),
        vec![u8::from(explain)],
    ]
}

/// A small upload is digested sooner than another thread is woken for it.
async fn digest(image: &Bytes, pipeline: &Pipeline) -> Result<[u8; 32], JobLost> {
    if image.len() <= DIGESTED_AT_ONCE_BYTES {
        return Ok(pipeline.site_key.digest(image));
    }
    let (key, image) = (pipeline.site_key.clone(), image.clone());
    pipeline.decoders.run(move |_| key.digest(&image)).await
}
