//! Prepared multipart forms.

use bytes::Bytes;

/// The boundary; it occurs in no image.
const BOUNDARY: &str = "cxr-bench-7MA4YWxkTrZu0gW";

/// Images as `multipart/form-data` bodies, and their media type. Every part is declared as JPEG; servers
/// detect the format from the content.
pub(crate) fn forms(images: &[Bytes]) -> (Vec<Bytes>, String) {
    let form = |image: &Bytes| {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"image.jpeg\"\r\n\
             Content-Type: image/jpeg\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        [head.as_bytes(), image, tail.as_bytes()].concat().into()
    };
    (images.iter().map(form).collect(), format!("multipart/form-data; boundary={BOUNDARY}"))
}
