//! Arbitrary bytes as an image: decoded, accepted and preprocessed as in the service, without a panic, within
//! the limits, and without traces of the previous image.

#![no_main]

use cxr::bundle::Manifest;
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::{preprocess, preprocess_with};
use cxr::{AcceptedImage, Cancel, DecodeError, DecodeLimits, RejectReason, Workspace, decode, decode_with};
use cxr_fuzz::PeakAllocator;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: PeakAllocator = PeakAllocator::new();

/// Acceptance limits and preprocessing of the default bundle.
static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../models/default/bundle.json")).expect("the bundle that ships")
});

/// Memory that decoding may take temporarily: 10 bytes per pixel (`DecodeLimits`) and the decoders' own
/// tables.
const BYTES_PER_PIXEL: u64 = 10;
const TABLES_BYTES: u64 = 64 << 20;
/// Memory that may be taken before the header's size is known to be too large.
const HEADER_BYTES: usize = 4 << 20;

thread_local! {
    /// Reused for every image, as on a thread of the worker pool.
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits::default();
    let (decoded, peak) = ALLOCATOR.peak_of(|| decode(bytes, &limits));
    assert!(peak as u64 <= limits.max_pixels * BYTES_PER_PIXEL + TABLES_BYTES, "{peak} bytes");
    let again = WORKSPACE.with_borrow_mut(|workspace| decode_with(workspace, bytes, &limits, Cancel::NEVER));
    assert!(
        decoded.clone().map_err(DecodeError::from) == again,
        "another image in a workspace that was used before"
    );
    let (image, reused) = match (decoded, again) {
        (Ok(image), Ok(reused)) => (image, reused),
        (Err(rejection), _) if rejection.reason == RejectReason::TooManyPixels => {
            return assert!(
                peak <= HEADER_BYTES + bytes.len(),
                "{peak} bytes for what is refused by its header"
            );
        }
        (Err(rejection), _) => {
            return assert!(
                rejection.reason != RejectReason::DecoderFailed,
                "a decoder panicked: {rejection:?}"
            );
        }
        (Ok(_), Err(_)) => unreachable!("they were compared"),
    };
    let pixels = u64::from(image.width()) * u64::from(image.height());
    assert!(pixels <= limits.max_pixels && image.samples().len() as u64 == pixels);
    let accept = |image| AcceptedImage::accept(image, AcquisitionMetadata::default(), &MANIFEST.acceptance);
    let (Ok(accepted), Ok(reused)) = (accept(image), accept(reused)) else { return };
    let input = preprocess(&accepted, &MANIFEST.preprocess);
    assert_eq!(input.pixels().len() as u32, MANIFEST.preprocess.width * MANIFEST.preprocess.height);
    WORKSPACE.with_borrow_mut(|workspace| {
        assert!(preprocess_with(workspace, &reused, &MANIFEST.preprocess) == input);
        workspace.reclaim(reused);
    });
});
