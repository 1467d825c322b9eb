//! Signs checkpoints (c2sp.org/tlog-checkpoint) and receipts. Both are signed notes (c2sp.org/signed-note),
//! which existing verifiers and witnesses understand.

use crate::config::secret::Secret;
use crate::record::columns::microseconds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use signed_note::{
    Note, NoteError, Signer, SignerError, StandardSigner, StandardVerifier, VerifierError, VerifierList,
};
use time::OffsetDateTime;
use tlog_tiles::{Checkpoint, Hash};
use uuid::Uuid;

/// First line of a receipt. A checkpoint begins with the log's origin instead.
const RECEIPT: &str = "cxr-receipt/v1";

#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The text is not a note, or the log's key did not sign it.
    #[error("not a note, or not signed by this key")]
    Unsigned,
    /// The note is not the kind expected, or belongs to another log.
    #[error("signed by this key, but {0}")]
    Other(&'static str),
    #[error("signing failed")]
    Signing(#[source] NoteError),
}

/// The log's private key. Its name is the log's origin.
pub struct LogKey {
    signer: StandardSigner,
    public: String,
}

pub struct LogVerifier {
    origin: String,
    key: StandardVerifier,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptText {
    pub id: Uuid,
    pub leaf_hash: Hash,
    /// Time of the signature: RFC 3339, UTC, microseconds.
    pub signed_at: String,
}

impl LogKey {
    /// Parses `PRIVATE+KEY+<origin>+<id>+<key>`.
    pub fn parse(key: &Secret) -> Result<Self, SignerError> {
        let text = key.expose().trim();
        let signer = StandardSigner::new(text)?;
        let public = public(text, &signer).ok_or(SignerError::Format)?;
        Ok(Self { signer, public })
    }

    /// Generates a private key and its public key, as text.
    pub fn generate(origin: &str) -> (String, String) {
        signed_note::generate_key(&mut rand_core::OsRng, origin)
    }

    /// The public key as text, `<origin>+<id>+<key>`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Never fails for a parsed key.
    pub fn verifier(&self) -> Result<LogVerifier, VerifierError> {
        LogVerifier::parse(&self.public)
    }

    pub fn origin(&self) -> &str {
        self.signer.name()
    }

    /// Id of the key in hexadecimal: the first four bytes of its signatures.
    pub fn id(&self) -> String {
        format!("{:08x}", self.signer.key_id())
    }

    pub fn checkpoint(&self, size: u64, root: Hash) -> Result<String, SignatureError> {
        self.note(&format!("{}\n{size}\n{root}\n", self.origin()))
    }

    pub fn receipt(&self, id: Uuid, leaf_hash: Hash, at: OffsetDateTime) -> Result<String, SignatureError> {
        self.note(&format!("{RECEIPT}\n{id}\n{leaf_hash}\n{}\n", microseconds(at)))
    }

    fn note(&self, text: &str) -> Result<String, SignatureError> {
        let mut note = Note::new(text.as_bytes(), &[]).map_err(SignatureError::Signing)?;
        note.add_sigs(&[&self.signer]).map_err(SignatureError::Signing)?;
        String::from_utf8(note.to_bytes()).map_err(|_| SignatureError::Other("not UTF-8"))
    }
}

/// The public half of `PRIVATE+KEY+<origin>+<id>+<key>`, whose last part is a byte for Ed25519 and the seed.
fn public(private: &str, signer: &StandardSigner) -> Option<String> {
    // The base64 of the key may contain a plus.
    let key = STANDARD.decode(private.splitn(5, '+').nth(4)?).ok()?;
    let (algorithm, seed) = key.split_first()?;
    let verifying = SigningKey::from_bytes(seed.try_into().ok()?).verifying_key();
    let encoded = STANDARD.encode([&[*algorithm], verifying.as_bytes().as_slice()].concat());
    Some(format!("{}+{:08x}+{encoded}", signer.name(), signer.key_id()))
}

impl LogVerifier {
    /// Parses `<origin>+<id>+<key>`.
    pub fn parse(key: &str) -> Result<Self, VerifierError> {
        use signed_note::Verifier as _;
        let key = StandardVerifier::new(key.trim())?;
        Ok(Self { origin: key.name().to_owned(), key })
    }

    /// Verifies and parses a checkpoint of this log.
    pub fn checkpoint(&self, note: &[u8]) -> Result<Checkpoint, SignatureError> {
        let text = self.signed_text(note)?;
        let checkpoint =
            Checkpoint::from_bytes(&text).map_err(|_| SignatureError::Other("not a checkpoint"))?;
        if checkpoint.origin() != self.origin {
            return Err(SignatureError::Other("a checkpoint of another log"));
        }
        Ok(checkpoint)
    }

    /// Verifies and parses a receipt.
    pub fn receipt(&self, note: &[u8]) -> Result<ReceiptText, SignatureError> {
        let text = self.signed_text(note)?;
        let text = std::str::from_utf8(&text).map_err(|_| SignatureError::Other("not a receipt"))?;
        let lines: Vec<&str> = text.lines().collect();
        let [RECEIPT, id, leaf_hash, signed_at] = lines[..] else {
            return Err(SignatureError::Other("not a receipt"));
        };
        let (Ok(id), Ok(leaf_hash)) = (id.parse(), Hash::parse_hash(leaf_hash)) else {
            return Err(SignatureError::Other("not a receipt"));
        };
        Ok(ReceiptText { id, leaf_hash, signed_at: signed_at.to_owned() })
    }

    fn signed_text(&self, note: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let note = Note::from_bytes(note).map_err(|_| SignatureError::Unsigned)?;
        let key = VerifierList::new(vec![Box::new(self.key.clone())]);
        note.verify(&key).map_err(|_| SignatureError::Unsigned)?;
        Ok(note.text().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_read_back_and_nothing_else_is() {
        let (private, public) = LogKey::generate("cxr.example.org/test");
        let key = LogKey::parse(&Secret::from(private.as_str())).unwrap();
        assert_eq!(key.public(), public);
        let verifier = LogVerifier::parse(&public).unwrap();
        let (id, hash) = (Uuid::now_v7(), Hash([7; 32]));
        let receipt = key.receipt(id, hash, OffsetDateTime::UNIX_EPOCH).unwrap();
        let signed_at = "1970-01-01T00:00:00.000000Z".to_owned();
        let expected = ReceiptText { id, leaf_hash: hash, signed_at };
        assert_eq!(verifier.receipt(receipt.as_bytes()).unwrap(), expected);
        let checkpoint = key.checkpoint(5, hash).unwrap();
        let read = verifier.checkpoint(checkpoint.as_bytes()).unwrap();
        assert_eq!((read.origin(), read.size(), read.hash()), ("cxr.example.org/test", 5, &hash));

        // A receipt is not a checkpoint, and neither verifies with another key.
        assert!(matches!(verifier.checkpoint(receipt.as_bytes()), Err(SignatureError::Other(_))));
        assert!(matches!(verifier.receipt(checkpoint.as_bytes()), Err(SignatureError::Other(_))));
        let another = LogVerifier::parse(&LogKey::generate("cxr.example.org/test").1).unwrap();
        assert!(matches!(another.checkpoint(checkpoint.as_bytes()), Err(SignatureError::Unsigned)));
        for at in 0..checkpoint.len() {
            let mut changed = checkpoint.clone().into_bytes();
            changed[at] ^= 1;
            assert!(verifier.checkpoint(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_key_may_hold_a_plus() {
        let key = "PRIVATE+KEY+cxr.test.invalid/log+a8b09d84+AQ2sW+4xs1msoZOzD5X6/hPJ4Va6RskoXk3SYjwuwk4U";
        let public = "cxr.test.invalid/log+a8b09d84+AbPwp9S2XCIO2rtNJNDQXoncfug96YL5t1AFjyTIWeA0";
        assert_eq!(LogKey::parse(&Secret::from(key)).unwrap().public(), public);
    }

    #[test]
    fn a_published_note_is_understood() {
        // The example of golang.org/x/mod/sumdb/note and c2sp.org/signed-note.
        let verifier =
            LogVerifier::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
            — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(verifier.signed_text(note.as_bytes()).unwrap().starts_with(b"If you think"));
    }
}
