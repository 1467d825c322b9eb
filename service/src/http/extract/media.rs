//! Declared media types. They only decide between image and form; the image format is detected from the
//! content.

use crate::http::error::ApiError;
use axum::http::{HeaderMap, HeaderValue, header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Raw,
    /// A form with the image in one part.
    Multipart,
}

pub(crate) fn body_format(headers: &HeaderMap) -> Result<BodyFormat, ApiError> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    let encoded = !headers.get_all(header::CONTENT_ENCODING).iter().all(plain);
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (declared, more) = (types.next(), types.next().is_some());
    if encoded || more {
        return Err(ApiError::UnsupportedMediaType);
    }
    let Some(declared) = declared else { return Ok(BodyFormat::Raw) };
    let declared = declared.to_str().map_err(|_| ApiError::UnsupportedMediaType)?;
    if essence(declared) == "multipart/form-data" {
        return Ok(BodyFormat::Multipart);
    }
    if is_image(declared) { Ok(BodyFormat::Raw) } else { Err(ApiError::UnsupportedMediaType) }
}

/// Media types of images, with the aliases that clients use.
const IMAGES: [&str; 12] = [
    "image/jpeg",
    "image/jpg",
    "image/pjpeg",
    "image/png",
    "image/x-png",
    "image/tiff",
    "image/tif",
    "image/x-tiff",
    "image/x-tif",
    "application/octet-stream",
    "application/x-octet-stream",
    "binary/octet-stream",
];

/// Whether a body or part of this media type may be an image.
pub(crate) fn is_image(declared: &str) -> bool {
    IMAGES.contains(&essence(declared).as_str())
}

fn essence(declared: &str) -> String {
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn only_images_and_forms_are_accepted() {
        let declared = |pairs: &[(HeaderName, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            body_format(&pairs.collect::<HeaderMap>()).ok()
        };
        let content_type = |value| declared(&[(header::CONTENT_TYPE, value)]);
        assert_eq!(declared(&[]), Some(BodyFormat::Raw));
        for raw in ["image/jpeg", "IMAGE/PNG", "image/tiff; foo=bar", "image/JPG", "binary/octet-stream"] {
            assert_eq!(content_type(raw), Some(BodyFormat::Raw), "{raw}");
        }
        assert_eq!(content_type("multipart/form-data; boundary=x"), Some(BodyFormat::Multipart));
        for refused in ["", "text/plain", "application/x-www-form-urlencoded", "image/gif", "multipart/mixed"]
        {
            assert_eq!(content_type(refused), None, "{refused}");
        }
        let encoding = |value| declared(&[(header::CONTENT_ENCODING, value)]);
        assert_eq!(
            (encoding("identity"), encoding("Identity")),
            (Some(BodyFormat::Raw), Some(BodyFormat::Raw))
        );
        assert_eq!((encoding("gzip"), encoding("identity, gzip")), (None, None));
    }
}
