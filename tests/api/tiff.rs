//! TIFF: the same pixels get the same answer in every layout, and hostile files delay no other client.

use std::time::{Duration, Instant};
use system_tests::images::{self, HEIGHT, WIDTH};
use system_tests::server::{Options, Server, problem};
use system_tests::{postgres, tokens};

/// A little-endian TIFF with `data` at byte 8 and these tags (values as LONG).
fn tiff(tags: &[(u16, &[u32])], data: &[u8]) -> Vec<u8> {
    let mut file = b"II\x2A\0\0\0\0\0".to_vec();
    file.extend(data);
    let mut entries = Vec::new();
    for (tag, values) in tags {
        entries.extend([&tag.to_le_bytes()[..], &[4, 0], &(values.len() as u32).to_le_bytes()].concat());
        if let [value] = values {
            entries.extend(value.to_le_bytes());
        } else {
            entries.extend((file.len() as u32).to_le_bytes());
            file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    let directory = file.len() as u32;
    file[4..8].copy_from_slice(&directory.to_le_bytes());
    file.extend((tags.len() as u16).to_le_bytes());
    file.extend(entries);
    file.extend([0; 4]);
    file
}

/// One strip of 8-bit grey.
fn strip(width: u32, height: u32, compression: u32, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u32;
    let tags: [(u16, &[u32]); 9] = [
        (256, &[width]),
        (257, &[height]),
        (258, &[8]),
        (259, &[compression]),
        (262, &[1]),
        (273, &[8]),
        (277, &[1]),
        (278, &[height]),
        (279, &[length]),
    ];
    tiff(&tags, data)
}

/// LZW codes of 9 bits each; the first clears the table.
fn codes(n_bytes: usize, of: &[u16]) -> Vec<u8> {
    let (mut bytes, mut held, mut n_held) = (Vec::new(), 256u32, 9);
    for code in of.iter().cycle() {
        if bytes.len() >= n_bytes {
            break;
        }
        (held, n_held) = (held << 9 | u32::from(*code), n_held + 9);
        while n_held >= 8 {
            n_held -= 8;
            bytes.push((held >> n_held) as u8);
            held &= (1 << n_held) - 1;
        }
    }
    bytes
}

/// Files that once took seconds to hours.
fn bombs() -> [(&'static str, &'static str, Vec<u8>); 4] {
    let tile = [1 << 26];
    let wide: [(u16, &[u32]); 9] = [
        (256, &[512]),
        (257, &[16]),
        (258, &[8]),
        (259, &[32773]),
        (262, &[1]),
        (322, &tile),
        (323, &[16]),
        (324, &[8]),
        (325, &[68_000]),
    ];
    let (places, lengths) = (vec![8; 1000], vec![1 << 20; 1000]);
    let shared: [(u16, &[u32]); 8] = [
        (256, &[1000]),
        (257, &[1000]),
        (258, &[8]),
        (259, &[32773]),
        (262, &[1]),
        (273, &places),
        (278, &[1]),
        (279, &lengths),
    ];
    // Ten bits per block: fixed codes, and the end code.
    let blocks: Vec<u8> = (0..8 << 20)
        .map(|byte| (0..8).fold(0, |bits, bit| bits | u8::from((byte * 8 + bit) % 10 == 1) << bit))
        .collect();
    [
        ("wide tiles", "unsupported_pixel_format", tiff(&wide, &vec![128; 68_000])),
        ("strips that share their bytes", "corrupt", tiff(&shared, &vec![128; 1 << 20])),
        ("empty Deflate blocks", "corrupt", strip(6000, 6000, 8, &[&[0x78, 1][..], &blocks].concat())),
        ("LZW clears", "corrupt", strip(6000, 6000, 5, &codes(8 << 20, &[256]))),
    ]
}

async fn timed(server: &Server, image: Vec<u8>) -> Duration {
    let start = Instant::now();
    let response = server.post("", image).await;
    assert_eq!(response.status(), 200);
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_rejected_and_do_not_delay_another_client() {
    let server =
        Options::on(&postgres::shared().database()).set("limits.decode_threads", &2).start_ready().await;
    let image = images::jpeg(1, false);
    let mut usual = Vec::new();
    for _ in 0..10 {
        usual.push(timed(&server, image.clone()).await);
    }
    for (name, reason, bomb) in bombs() {
        let body = problem(server.post("", bomb).await, 422, "rejected").await;
        assert_eq!(body["reason"], reason, "{name}: {body}");
    }
    // Four clients send bombs without a pause, and one sends radiographs.
    let server = &server;
    let senders = (0..4).map(|sender: usize| async move {
        let bombs = bombs();
        for turn in 0..8 {
            let (_, _, bomb) = &bombs[(sender + turn) % bombs.len()];
            problem(server.post("", bomb.clone()).await, 422, "rejected").await;
        }
    });
    let other = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            slowest = slowest.max(timed(server, image.clone()).await);
        }
        slowest
    };
    let (_, slowest) = tokio::join!(futures_util::future::join_all(senders), other);
    let usual = usual.into_iter().max().unwrap();
    println!("slowest answer {usual:?} alone, {slowest:?} beside bombs");
    assert!(slowest < usual * 10 + Duration::from_secs(2), "{slowest:?} beside bombs, {usual:?} alone");
}

#[tokio::test]
async fn decoding_stops_at_the_deadline() {
    let server = Server::ready().await;
    // 30 MB of a valid file that is cut short, and take about a second.
    let slow = strip(5000, 3500, 5, &codes(30_000_000, &[0, 0, 256]));
    let start = Instant::now();
    let body = problem(server.post("", slow.clone()).await, 422, "rejected").await;
    assert_eq!(body["reason"], "blank", "{body}");
    let whole = start.elapsed();
    let request = server.prediction("").body(slow);
    let request = request.bearer_auth(tokens::token("predict")).header("x-request-timeout-ms", "150");
    let start = Instant::now();
    problem(request.send().await.unwrap(), 504, "deadline_exceeded").await;
    println!("whole: {whole:?}; stopped: {:?}", start.elapsed());
}

#[tokio::test]
async fn the_same_pixels_give_the_same_answer_in_every_layout() {
    let server = Server::ready().await;
    let pixels = images::phantom(3, true);
    let reversed: Vec<u8> = pixels.iter().map(|byte| byte.reverse_bits()).collect();
    let rgb: Vec<u8> = pixels.iter().flat_map(|value| [*value; 3]).collect();
    let inverse: Vec<u8> = pixels.iter().map(|value| 255 - value).collect();
    let size: [(u16, &[u32]); 4] = [(256, &[WIDTH]), (257, &[HEIGHT]), (259, &[1]), (273, &[8])];
    let layouts: [(&str, &[(u16, &[u32])], &[u8]); 4] = [
        ("stored", &[(258, &[8]), (262, &[1])], &pixels),
        ("FillOrder 2", &[(258, &[8]), (262, &[1]), (266, &[2])], &reversed),
        ("RGB", &[(258, &[8, 8, 8]), (262, &[2]), (277, &[3])], &rgb),
        ("WhiteIsZero", &[(258, &[8]), (262, &[0])], &inverse),
    ];
    let ask = async |image: Vec<u8>| -> serde_json::Value {
        let response = server.post("", image).await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    };
    let expected = ask(images::png(3, true)).await;
    for (name, tags, data) in layouts {
        let length = [data.len() as u32];
        let mut tags = [&size[..], tags, &[(279, &length[..])]].concat();
        tags.sort_unstable();
        let found = ask(tiff(&tags, data)).await;
        assert_eq!(found["probability"], expected["probability"], "{name}");
    }
}

#[tokio::test]
async fn unsupported_variants_are_rejected_by_name_with_advice() {
    let server = Server::ready().await;
    let ink = [8, 8, 8, 8];
    let cmyk: [(u16, &[u32]); 7] =
        [(256, &[200]), (257, &[200]), (258, &ink), (262, &[5]), (273, &[8]), (277, &[4]), (279, &[160_000])];
    for (image, found, advice) in [
        (strip(200, 200, 7, &[0; 1000]), "JPEG compression", "PNG"),
        (strip(200, 200, 4, &[0; 1000]), "CCITT Group 4", "PNG"),
        (tiff(&cmyk, &vec![0; 160_000]), "CMYK", "grey or RGB"),
    ] {
        let body = problem(server.post("", image).await, 422, "rejected").await;
        assert_eq!(body["reason"], "unsupported_pixel_format");
        let text = body.to_string();
        assert!(text.contains(found) && text.contains(advice), "{text}");
    }
}
