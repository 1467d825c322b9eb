//! A minimal parser of the Postgres protocol that recognises commits of rows of `predictions` in the messages
//! of one client.

use std::collections::HashSet;

/// Codes of SSLRequest and GSSENCRequest, which precede the start-up message and have its format.
const ENCRYPTION: [[u8; 4]; 2] = [80_877_103_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()];

/// The bytes of a client that have not been forwarded yet, and the state of its statements.
#[derive(Default)]
pub(crate) struct Client {
    unread: Vec<u8>,
    begun: bool,
    /// Names of prepared statements that insert rows.
    inserts: HashSet<Vec<u8>>,
    in_transaction: bool,
    /// Rows were inserted and are not committed.
    inserted: bool,
}

/// Complete messages to forward.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Whether the last of them commits rows.
    pub(crate) commits: bool,
}

impl Client {
    /// Appends received bytes.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Takes the complete messages up to the first that commits rows.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        let mut end = 0;
        let mut commits = false;
        while !commits {
            let Some(length) = self.length(end) else { break };
            let message = self.unread[end..end + length].to_vec();
            commits = self.follow(&message);
            end += length;
        }
        (end > 0).then(|| Batch { bytes: self.unread.drain(..end).collect(), commits })
    }

    /// Length of the message at `from`, if it is complete.
    fn length(&self, from: usize) -> Option<usize> {
        let kind = usize::from(self.begun);
        let length = self.unread.get(from + kind..from + kind + 4)?;
        let length = kind + u32::from_be_bytes(length.try_into().ok()?) as usize;
        (self.unread.len() >= from + length).then_some(length)
    }

    /// Updates the state; returns whether this message commits rows.
    fn follow(&mut self, message: &[u8]) -> bool {
        if !self.begun {
            self.begun = !ENCRYPTION.iter().any(|code| message[4..] == *code);
            return false;
        }
        let body = &message[5..];
        match message[0] {
            b'P' => {
                let (name, rest) = text(body);
                if text(rest).0.windows(23).any(|words| words == b"INSERT INTO predictions") {
                    self.inserts.insert(name.to_vec());
                }
                false
            }
            b'B' => {
                let (_portal, rest) = text(body);
                self.inserted |= self.inserts.contains(text(rest).0);
                false
            }
            b'Q' => {
                let statement = text(body).0.to_ascii_uppercase();
                let ends = statement.starts_with(b"COMMIT") || statement.starts_with(b"ROLLBACK");
                self.in_transaction = !ends && (self.in_transaction || statement.starts_with(b"BEGIN"));
                self.inserted &= !statement.starts_with(b"ROLLBACK");
                ends && std::mem::take(&mut self.inserted)
            }
            b'S' => !self.in_transaction && std::mem::take(&mut self.inserted),
            _ => false,
        }
    }
}

/// Splits at the first zero byte.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        message
    }

    #[test]
    fn commits_are_recognised_with_named_statements_split_messages_and_transactions() {
        let mut client = Client::default();
        for first in [[&8_u32.to_be_bytes()[..], &ENCRYPTION[0]].concat(), vec![0, 0, 0, 9, 0, 3, 0, 0, 0]] {
            client.receive(&first);
            assert_eq!(client.next(), Some(Batch { bytes: first, commits: false }));
        }
        let prepare = [message(b'P', b"s1\0INSERT INTO predictions (\0\0\0"), message(b'S', b"")].concat();
        client.receive(&prepare);
        assert!(!client.next().unwrap().commits);
        let insert = [message(b'B', b"\0s1\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
        client.receive(&insert[..9]);
        assert_eq!(client.next(), None);
        client.receive(&insert[9..]);
        client.receive(&message(b'Q', b"SELECT 1\0"));
        assert_eq!(client.next(), Some(Batch { bytes: insert.clone(), commits: true }));
        assert!(!client.next().unwrap().commits);
        client.receive(&[message(b'Q', b"BEGIN\0"), insert].concat());
        assert!(!client.next().unwrap().commits);
        client.receive(&message(b'Q', b"COMMIT\0"));
        assert!(client.next().unwrap().commits);
    }
}
