//! As much of Postgres' protocol as it takes to see a client commit rows of `predictions`: the messages of one client, in order.

use std::collections::HashSet;

/// Codes of the requests for encryption, which come before the first message and look like it.
const ENCRYPTION: [[u8; 4]; 2] = [80_877_103_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()];

/// What a client has sent and has not been forwarded, and what is known of its statements.
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

/// Whole messages, as they are to be forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// The last of them commits rows.
    pub(crate) commits: bool,
}

impl Client {
    /// Takes what arrived.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Every whole message up to the first that commits rows.
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

    /// Length of the message that begins at `from`, where all of it is there.
    fn length(&self, from: usize) -> Option<usize> {
        let kind = usize::from(self.begun);
        let length = self.unread.get(from + kind..from + kind + 4)?;
        let length = kind + u32::from_be_bytes(length.try_into().ok()?) as usize;
        (self.unread.len() >= from + length).then_some(length)
    }

    /// Whether this message commits rows.
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

/// Up to the zero byte, and what comes after it.
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
    fn a_commit_is_seen_by_name_across_pieces_and_inside_a_transaction() {
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
