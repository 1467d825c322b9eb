//! Huffman coding of a scan (T.81 F.1.2 and G.1.2), with the flat tables of `coefficients`.

use super::{Block, Layout, Picture, Scan, ZIGZAG};

pub(super) struct Coder<'a> {
    picture: &'a Picture,
    scan: &'a Scan,
    progressive: bool,
    restart: usize,
    bytes: Vec<u8>,
    bits: u64,
    n_bits: u32,
    previous: Vec<i32>,
    end_run: u32,
    held: Vec<bool>,
}

impl<'a> Coder<'a> {
    pub(super) fn new(picture: &'a Picture, scan: &'a Scan, layout: &Layout) -> Self {
        Self {
            picture,
            scan,
            progressive: layout.frame == 0xC2,
            restart: layout.restart.into(),
            bytes: vec![],
            bits: 0,
            n_bits: 0,
            previous: vec![0; picture.components.len()],
            end_run: 0,
            held: vec![],
        }
    }

    pub(super) fn run(mut self, file: &mut Vec<u8>) {
        let single = self.scan.components.len() == 1;
        let (across, down) =
            if single { self.picture.blocks(self.scan.components[0]) } else { self.picture.mcus() };
        for mcu in 0..across * down {
            if self.restart > 0 && mcu > 0 && mcu % self.restart == 0 {
                self.flush();
                self.bytes.extend([0xFF, 0xD0 + ((mcu / self.restart - 1) % 8) as u8]);
            }
            let (column, row) = (mcu % across, mcu / across);
            for index in self.scan.components.clone() {
                let component = &self.picture.components[index];
                let (h, v) = if single { (1, 1) } else { (component.h, component.v) };
                for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                    let block = component.blocks[(row * v + y) * component.stride + column * h + x];
                    self.block(index, &block);
                }
            }
        }
        self.flush();
        file.extend(self.bytes);
    }

    fn flush(&mut self) {
        self.end_of_run();
        if !self.n_bits.is_multiple_of(8) {
            let n = 8 - self.n_bits % 8;
            self.put((1 << n) - 1, n);
        }
        self.previous.fill(0);
    }

    fn put(&mut self, value: u32, n: u32) {
        self.bits = self.bits << n | u64::from(value) & ((1 << n) - 1);
        self.n_bits += n;
        while self.n_bits >= 8 {
            self.n_bits -= 8;
            let byte = (self.bits >> self.n_bits) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    fn dc_symbol(&mut self, symbol: u32) {
        self.put(symbol, 5);
    }

    fn ac_symbol(&mut self, symbol: u32) {
        if symbol < 254 { self.put(symbol, 8) } else { self.put(254 * 2 + symbol - 254, 9) }
    }

    /// The bits that follow a symbol of that size (T.81 F.1.2.1).
    fn magnitude(&mut self, value: i32, size: u32) {
        self.put(if value < 0 { value - 1 } else { value } as u32, size);
    }

    fn block(&mut self, component: usize, block: &Block) {
        let (start, end, low) = (self.scan.start.into(), usize::from(self.scan.end), self.scan.low);
        if !self.progressive {
            self.dc(component, block[0].into());
            self.ac_whole(block);
        } else if start == 0 {
            let value = i32::from(block[0]) >> low;
            if self.scan.high == 0 { self.dc(component, value) } else { self.put(value as u32 & 1, 1) }
        } else if self.scan.high == 0 {
            self.ac_first(block, start, end, low);
        } else {
            self.ac_again(block, start, end, low);
        }
    }

    fn dc(&mut self, component: usize, value: i32) {
        let difference = value - self.previous[component];
        self.previous[component] = value;
        let size = size(difference);
        self.dc_symbol(size);
        self.magnitude(difference, size);
    }

    fn ac_whole(&mut self, block: &Block) {
        let mut run = 0;
        for &at in &ZIGZAG[1..] {
            let value = i32::from(block[at]);
            if value == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.ac_symbol(0xF0);
                run -= 16;
            }
            let size = size(value);
            self.ac_symbol(run << 4 | size);
            self.magnitude(value, size);
            run = 0;
        }
        if run > 0 {
            self.ac_symbol(0);
        }
    }

    fn ac_first(&mut self, block: &Block, start: usize, end: usize, low: u8) {
        let mut run = 0;
        for &at in &ZIGZAG[start..=end] {
            let value = i32::from(block[at]);
            let value = (value.abs() >> low) * value.signum();
            if value == 0 {
                run += 1;
                continue;
            }
            self.end_of_run();
            while run > 15 {
                self.ac_symbol(0xF0);
                run -= 16;
            }
            let size = size(value);
            self.ac_symbol(run << 4 | size);
            self.magnitude(value, size);
            run = 0;
        }
        if run > 0 {
            self.end_run += 1;
            if self.end_run == 0x7FFF {
                self.end_of_run();
            }
        }
    }

    fn ac_again(&mut self, block: &Block, start: usize, end: usize, low: u8) {
        let shifted = |k: usize| i32::from(block[ZIGZAG[k]]).abs() >> low;
        let last = (start..=end).rev().find(|k| shifted(*k) == 1).unwrap_or(0);
        let (mut run, mut held) = (0, Vec::new());
        for k in start..=end {
            let value = shifted(k);
            if value == 0 {
                run += 1;
                continue;
            }
            while run > 15 && k <= last {
                self.end_of_run();
                self.ac_symbol(0xF0);
                run -= 16;
                self.put_all(&std::mem::take(&mut held));
            }
            if value > 1 {
                held.push(value & 1 == 1);
                continue;
            }
            self.end_of_run();
            self.ac_symbol(run << 4 | 1);
            self.put((block[ZIGZAG[k]] > 0).into(), 1);
            self.put_all(&std::mem::take(&mut held));
            run = 0;
        }
        if run > 0 || !held.is_empty() {
            self.end_run += 1;
            self.held.extend(held);
            if self.end_run == 0x7FFF || self.held.len() > 900 {
                self.end_of_run();
            }
        }
    }

    fn put_all(&mut self, bits: &[bool]) {
        for bit in bits {
            self.put((*bit).into(), 1);
        }
    }

    fn end_of_run(&mut self) {
        if self.end_run > 0 {
            let size = self.end_run.ilog2();
            self.ac_symbol(size << 4);
            self.put(self.end_run, size);
            self.end_run = 0;
            let held = std::mem::take(&mut self.held);
            self.put_all(&held);
        }
    }
}

fn size(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}
