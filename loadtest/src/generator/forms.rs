//! Uploads made beforehand.

use bytes::Bytes;

/// Between the parts of the form; no JPEG file of the data holds it, and phantoms can't.
const BOUNDARY: &str = "cxr-bench-7MA4YWxkTrZu0gW";

/// Images as bodies of `multipart/form-data`, and the media type that names the boundary. The declared type of every
/// part is that of a JPEG; a server finds the format from the content.
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
