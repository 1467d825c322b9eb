//! The file that the decoder gets: generated headers and the compressed data of the needed scans, borrowed
//! from the original.
//!
//! From the original file the decoder sees only compressed data and tables: no identifiers, no application
//! segments and no unneeded scans.

use super::headers::{DHT, DQT, Headers, Scan, Table};
use super::part_reader::Part;
use super::scan_selection::{Output, ScanSelection};
use super::standard_tables::STANDARD;

/// The parts of the canonical file, in order.
pub(super) fn parts<'a>(headers: &Headers<'a>, selection: &ScanSelection) -> Vec<Part<'a>> {
    let n_components =
        if selection.output == Output::SingleComponent { 1 } else { headers.frame.components.len() };
    let mut parts = Vec::with_capacity(3 * selection.scans.len() + 1);
    let mut head = vec![0xFF, 0xD8];
    if selection.output == Output::Rgb {
        // Transform 0: RGB, not YCbCr.
        segment(&mut head, 0xEE, b"Adobe\0\x64\0\0\0\0\0");
    }
    if !headers.frame.progressive {
        standard_tables(&mut head, headers);
    }
    for (number, scan) in headers.scans.iter().enumerate() {
        let latched = selection.scans.first().is_some_and(|&first| number > first);
        for &Table { marker, body } in &scan.tables {
            // A component keeps the quantisation table that was current when its first scan began.
            if !(latched && marker == DQT) {
                segment(&mut head, marker, body);
            }
        }
        if !selection.scans.contains(&number) {
            continue;
        }
        if selection.scans.first() == Some(&number) {
            frame_header(&mut head, headers, n_components);
        }
        scan_header(&mut head, scan, headers.frame.progressive);
        parts.push(Part::Header(std::mem::take(&mut head)));
        parts.push(Part::ScanData(scan.data));
        // The decoder expects a marker right behind the first scan of a progressive file.
        if !headers.frame.progressive || selection.scans.first() != Some(&number) {
            parts.push(Part::Sentinel);
        }
    }
    // A single scan needs no end marker, and the decoder would take it for the end of the data.
    if headers.frame.progressive {
        parts.push(Part::Header(vec![0xFF, 0xD9]));
    }
    parts
}

/// Adds the tables that Motion JPEG frames omit, as libjpeg-turbo does (`std_huff_tables` in jdhuff.c).
fn standard_tables(head: &mut Vec<u8>, headers: &Headers<'_>) {
    let Some(first) = headers.scans.first() else { return };
    let stated: Vec<u8> = first.tables.iter().filter(|table| table.marker == DHT).flat_map(classes).collect();
    for table in STANDARD.iter().filter(|table| !stated.contains(&table[0])) {
        segment(head, DHT, table);
    }
}

/// The class and destination byte of each Huffman table in a segment.
fn classes(table: &Table<'_>) -> Vec<u8> {
    let (mut rest, mut classes) = (table.body, Vec::new());
    while let Some((&[class, ref counts @ ..], _)) = rest.split_first_chunk::<17>() {
        classes.push(class);
        let n_values: usize = counts.iter().map(|count| usize::from(*count)).sum();
        rest = rest.get(17 + n_values..).unwrap_or_default();
    }
    classes
}

fn frame_header(head: &mut Vec<u8>, headers: &Headers<'_>, n_components: usize) {
    let frame = &headers.frame;
    let mut body = vec![8];
    body.extend(frame.height.to_be_bytes());
    body.extend(frame.width.to_be_bytes());
    body.push(n_components as u8);
    for (index, component) in frame.components[..n_components].iter().enumerate() {
        // A single component fills the frame block by block, whatever its sampling factors (T.81 A.2.2).
        let (h, v) = if n_components == 1 { (1, 1) } else { component.sampling };
        body.extend([index as u8 + 1, h << 4 | v, component.quantisation]);
    }
    segment(head, if frame.progressive { 0xC2 } else { 0xC1 }, &body);
}

fn scan_header(head: &mut Vec<u8>, scan: &Scan<'_>, progressive: bool) {
    let mut body = vec![scan.components.len() as u8];
    for component in &scan.components {
        body.extend([component.index as u8 + 1, component.huffman]);
    }
    let bits = scan.bits;
    let coefficients =
        if progressive { [bits.first, bits.last, bits.high << 4 | bits.low] } else { [0, 63, 0] };
    body.extend(coefficients);
    segment(head, 0xDA, &body);
}

/// Bodies come from segments of a file or are shorter than 64 bytes, so the length fits into 16 bits.
fn segment(head: &mut Vec<u8>, marker: u8, body: &[u8]) {
    head.extend([0xFF, marker]);
    head.extend((body.len() as u16 + 2).to_be_bytes());
    head.extend(body);
}
