//! A minimal HTTP/2 client that misbehaves as no library would: it grants no window, or only answers pings.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
/// `END_STREAM` and `END_HEADERS`
const WHOLE: u8 = 5;

/// A client on a connection of its own, without TLS.
pub struct Http2 {
    stream: TcpStream,
    next_stream: u32,
}

/// What was received until the connection ended.
#[derive(Debug, Default)]
pub struct Heard {
    /// Received response heads.
    pub heads: usize,
    /// Received bytes of bodies.
    pub bytes: usize,
    /// Received pings, which were answered.
    pub pings: usize,
    /// Received GOAWAY frames.
    pub goaways: usize,
}

impl Http2 {
    /// Connects and grants each response a window of this size.
    pub async fn connect(address: &str, window: u32) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let mut client = Self { stream, next_stream: 1 };
        // SETTINGS_INITIAL_WINDOW_SIZE
        client.send(SETTINGS, 0, 0, &[&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat()).await?;
        Ok(client)
    }

    /// Requests a path of less than 127 bytes.
    pub async fn get(&mut self, path: &str) -> io::Result<()> {
        // RFC 7541: indexed `:method: GET` and `:scheme: http`, then literal `:path` and `:authority`.
        let mut block = vec![0x82, 0x86];
        for (name, value) in [(4, path), (1, "test")] {
            block.extend([name, u8::try_from(value.len()).expect("a short path")]);
            block.extend(value.as_bytes());
        }
        let stream = self.next_stream;
        self.next_stream += 2;
        self.send(HEADERS, WHOLE, stream, &block).await
    }

    /// Answers settings and pings until the other end closes.
    pub async fn listen(mut self) -> Heard {
        let mut heard = Heard::default();
        while let Ok((kind, flags, payload)) = self.receive().await {
            match kind {
                DATA => heard.bytes += payload.len(),
                HEADERS => heard.heads += 1,
                SETTINGS if flags & ACK == 0 => drop(self.send(SETTINGS, ACK, 0, &[]).await),
                PING if flags & ACK == 0 => {
                    heard.pings += 1;
                    drop(self.send(PING, ACK, 0, &payload).await);
                }
                GOAWAY => heard.goaways += 1,
                _ => {}
            }
        }
        heard
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[head.as_slice(), payload].concat()).await
    }

    async fn receive(&mut self) -> io::Result<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok((head[3], head[4], payload))
    }
}
