//! Quantised blocks to fp32, after the layouts of ggml (`ggml-common.h`, `ggml-quants.c`). All numbers are little-endian.

use half::f16;

/// Elements of a K-quant's block.
const SUPER: usize = 256;

/// How a tensor's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit brain floats.
    Bf16,
    /// 32 elements: a scale and 4 bits each.
    Q4_0,
    /// 32 elements: a scale, a minimum and 4 bits each.
    Q4_1,
    /// 32 elements: a scale and 8 bits each.
    Q8_0,
    /// 256 elements in 8 groups: 6-bit scales and minima, 4 bits each.
    Q4K,
    /// 256 elements in 16 groups: 8-bit scales, 6 bits each.
    Q6K,
}

impl BlockType {
    /// The type with ggml's number `id`, or its name where it is known and not supported.
    pub fn from_id(id: u32) -> Result<Self, String> {
        Ok(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            6 => return Err("Q5_0".into()),
            7 => return Err("Q5_1".into()),
            9 => return Err("Q8_1".into()),
            10 => return Err("Q2_K".into()),
            11 => return Err("Q3_K".into()),
            13 => return Err("Q5_K".into()),
            15 => return Err("Q8_K".into()),
            other => return Err(format!("type {other}")),
        })
    }

    /// (elements, bytes) of a block.
    pub const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (SUPER, 144),
            Self::Q6K => (SUPER, 210),
        }
    }

    /// The elements of whole blocks.
    pub fn dequantize(self, bytes: &[u8]) -> Vec<f32> {
        let (elements, size) = self.block();
        let mut out = Vec::with_capacity(bytes.len() / size * elements);
        for block in bytes.chunks_exact(size) {
            match self {
                Self::F32 => out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => out.push(half(block)),
                Self::Bf16 => out.push(half::bf16::from_le_bytes([block[0], block[1]]).to_f32()),
                Self::Q4_0 => {
                    nibbles(&block[2..], |q| half(block) * (f32::from(q) - 8.0), &mut out)
                }
                Self::Q4_1 => nibbles(
                    &block[4..],
                    |q| half(block) * f32::from(q) + half(&block[2..]),
                    &mut out,
                ),
                Self::Q8_0 => {
                    out.extend(block[2..].iter().map(|&q| half(block) * f32::from(q as i8)))
                }
                Self::Q4K => q4k(block, &mut out),
                Self::Q6K => q6k(block, &mut out),
            }
        }
        out
    }
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The low halves of all bytes come first, then the high ones.
fn nibbles(bytes: &[u8], value: impl Fn(u8) -> f32, out: &mut Vec<f32>) {
    out.extend(bytes.iter().map(|byte| value(byte & 15)));
    out.extend(bytes.iter().map(|byte| value(byte >> 4)));
}

/// d, dmin, 12 bytes of packed 6-bit scales and minima, 128 bytes of nibbles: `d * scale * q - dmin * min`.
fn q4k(block: &[u8], out: &mut Vec<f32>) {
    let (d, dmin, packed, quants) = (half(block), half(&block[2..]), &block[4..16], &block[16..]);
    let group = |j: usize| -> (f32, f32) {
        let (scale, min) = match j {
            0..4 => (packed[j] & 63, packed[j + 4] & 63),
            _ => (
                (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
                (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
            ),
        };
        (d * f32::from(scale), dmin * f32::from(min))
    };
    for (pair, bytes) in quants.chunks_exact(32).enumerate() {
        let (low, high) = (group(2 * pair), group(2 * pair + 1));
        out.extend(bytes.iter().map(|byte| low.0 * f32::from(byte & 15) - low.1));
        out.extend(bytes.iter().map(|byte| high.0 * f32::from(byte >> 4) - high.1));
    }
}

/// 128 bytes of low nibbles, 64 bytes of high pairs, 16 signed scales, d: `d * scale * (q - 32)`.
fn q6k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales, d) =
        (&block[..128], &block[128..192], &block[192..208], half(&block[208..]));
    for part in 0..2 {
        let (low, high, scales) = (&low[64 * part..], &high[32 * part..], &scales[8 * part..]);
        for quarter in 0..4 {
            for l in 0..32 {
                let byte = low[l + 32 * (quarter % 2)];
                let nibble = if quarter < 2 { byte & 15 } else { byte >> 4 };
                let q = nibble | (((high[l] >> (2 * quarter)) & 3) << 4);
                let scale = d * f32::from(scales[l / 16 + 2 * quarter] as i8);
                out.push(scale * (f32::from(q) - 32.0));
            }
        }
    }
}
