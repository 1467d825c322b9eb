//! Writes JPEGs from coefficients, in any arrangement of frame and scans that T.81 allows. The pixels depend
//! only on the coefficients.

use entropy::Coder;

#[path = "entropy.rs"]
mod entropy;

/// The order in which a block's coefficients are coded (T.81 figure A.6).
pub(crate) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Quantised coefficients, row by row of the block.
pub(crate) type Block = [i16; 64];

/// Blocks of one component.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) id: u8,
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Blocks, `stride` per row, enough for whole MCUs.
    pub(crate) blocks: Vec<Block>,
    pub(crate) stride: usize,
}

/// One scan: its components (by index), coefficients and bits.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) components: Vec<usize>,
    pub(crate) start: u8,
    pub(crate) end: u8,
    pub(crate) high: u8,
    pub(crate) low: u8,
}

impl Scan {
    pub(crate) fn whole(components: &[usize]) -> Self {
        Self { components: components.to_vec(), start: 0, end: 63, high: 0, low: 0 }
    }
    pub(crate) fn bits(components: &[usize], start: u8, end: u8, high: u8, low: u8) -> Self {
        Self { components: components.to_vec(), start, end, high, low }
    }
}

/// A picture as coefficients.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) components: Vec<Component>,
    /// The same quantiser for every coefficient of every component.
    pub(crate) quantiser: u8,
}

/// Arrangement of a file.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// 0xC0 baseline, 0xC1 extended, 0xC2 progressive.
    pub(crate) frame: u8,
    pub(crate) scans: Vec<Scan>,
    /// MCUs between restart markers; 0 for none.
    pub(crate) restart: u16,
    /// The transform flag of an Adobe segment.
    pub(crate) adobe: Option<u8>,
    pub(crate) jfif: bool,
    /// Whether tables are repeated before each scan.
    pub(crate) tables_again: bool,
}

impl Layout {
    /// One scan of everything, without optional segments.
    pub(crate) fn plain(frame: u8, n_components: usize) -> Self {
        let all: Vec<usize> = (0..n_components).collect();
        let scans = vec![Scan::whole(&all)];
        Self { frame, scans, restart: 0, adobe: None, jfif: true, tables_again: false }
    }
}

impl Picture {
    pub(crate) fn max(&self) -> (usize, usize) {
        let h = self.components.iter().map(|c| c.h).max().unwrap_or(1);
        let v = self.components.iter().map(|c| c.v).max().unwrap_or(1);
        (h, v)
    }
    /// Number of MCUs of a scan with several components.
    pub(crate) fn mcus(&self) -> (usize, usize) {
        let (h, v) = self.max();
        (self.width.div_ceil(8 * h), self.height.div_ceil(8 * v))
    }
    /// Blocks of a component that hold part of the picture.
    pub(crate) fn blocks(&self, component: usize) -> (usize, usize) {
        let (h, v) = self.max();
        let c = &self.components[component];
        ((self.width * c.h).div_ceil(h).div_ceil(8), (self.height * c.v).div_ceil(v).div_ceil(8))
    }

    /// A picture whose blocks are a function of component, column and row.
    pub(crate) fn new(
        width: usize,
        height: usize,
        quantiser: u8,
        sampling: &[(u8, usize, usize)],
        mut block: impl FnMut(usize, usize, usize) -> Block,
    ) -> Self {
        let components =
            sampling.iter().map(|&(id, h, v)| Component { id, h, v, blocks: vec![], stride: 0 }).collect();
        let mut picture = Self { width, height, components, quantiser };
        let (across, down) = picture.mcus();
        for (index, component) in picture.components.iter_mut().enumerate() {
            component.stride = across * component.h;
            for y in 0..down * component.v {
                component.blocks.extend((0..component.stride).map(|x| block(index, x, y)));
            }
        }
        picture
    }

    /// The first component alone, as a grey picture.
    pub(crate) fn grey(&self) -> Self {
        self.component(0)
    }

    /// A component alone, as a grey picture of its own size.
    pub(crate) fn component(&self, index: usize) -> Self {
        let (columns, rows) = self.blocks(index);
        let stored = &self.components[index];
        let blocks = (0..rows).flat_map(|y| stored.blocks[y * stored.stride..][..columns].to_vec()).collect();
        let (h, v) = self.max();
        let (width, height) = ((self.width * stored.h).div_ceil(h), (self.height * stored.v).div_ceil(v));
        let component = Component { id: 1, h: 1, v: 1, blocks, stride: columns };
        Self { width, height, components: vec![component], quantiser: self.quantiser }
    }

    /// Pixels of a grey picture by the definition of the inverse transform (T.81 A.3.3).
    pub(crate) fn pixels(&self) -> Vec<u8> {
        let component = &self.components[0];
        let mut pixels = vec![0; self.width * self.height];
        for (number, block) in component.blocks.iter().enumerate() {
            let (left, top) = (number % component.stride * 8, number / component.stride * 8);
            let shown = inverse(&block.map(|value| f64::from(value) * f64::from(self.quantiser)));
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                if top + y < self.height && left + x < self.width {
                    pixels[(top + y) * self.width + left + x] = shown[y * 8 + x];
                }
            }
        }
        pixels
    }

    pub(crate) fn write(&self, layout: &Layout) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8];
        if layout.jfif {
            segment(&mut file, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        }
        if let Some(transform) = layout.adobe {
            segment(&mut file, 0xEE, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat());
        }
        let mut table = vec![0];
        table.extend([self.quantiser; 64]);
        segment(&mut file, 0xDB, &table);
        let mut frame = vec![8];
        frame.extend((self.height as u16).to_be_bytes());
        frame.extend((self.width as u16).to_be_bytes());
        frame.push(self.components.len() as u8);
        for c in &self.components {
            frame.extend([c.id, (c.h << 4 | c.v) as u8, 0]);
        }
        segment(&mut file, layout.frame, &frame);
        if layout.restart > 0 {
            segment(&mut file, 0xDD, &layout.restart.to_be_bytes());
        }
        for (number, scan) in layout.scans.iter().enumerate() {
            if number == 0 || layout.tables_again {
                tables(&mut file);
            }
            let mut header = vec![scan.components.len() as u8];
            for &index in &scan.components {
                header.extend([self.components[index].id, 0]);
            }
            header.extend([scan.start, scan.end, scan.high << 4 | scan.low]);
            segment(&mut file, 0xDA, &header);
            Coder::new(self, scan, layout).run(&mut file);
        }
        file.extend([0xFF, 0xD9]);
        file
    }
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xFF, marker]);
    file.extend((body.len() as u16 + 2).to_be_bytes());
    file.extend(body);
}

/// Flat codes: 16 DC symbols of 5 bits; 254 AC symbols of 8 bits and two of 9.
fn tables(file: &mut Vec<u8>) {
    let mut dc = vec![0; 17];
    dc[5] = 16;
    dc.extend(0..16);
    segment(file, 0xC4, &dc);
    let mut ac = vec![0; 17];
    (ac[0], ac[8], ac[9]) = (0x10, 254, 2);
    ac.extend(0..=255);
    segment(file, 0xC4, &ac);
}

fn inverse(coefficients: &[f64; 64]) -> [u8; 64] {
    let basis = |at: usize, frequency: usize| {
        let scale = if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
        scale / 2.0 * ((2 * at + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0).cos()
    };
    // Columns, then rows.
    let mut half = [0.0; 64];
    for (y, u) in (0..8).flat_map(|y| (0..8).map(move |u| (y, u))) {
        half[y * 8 + u] = (0..8).map(|v| basis(y, v) * coefficients[v * 8 + u]).sum();
    }
    std::array::from_fn(|at| {
        let (y, x) = (at / 8, at % 8);
        let value: f64 = (0..8).map(|u| basis(x, u) * half[y * 8 + u]).sum();
        (value + 128.0).round().clamp(0.0, 255.0) as u8
    })
}
