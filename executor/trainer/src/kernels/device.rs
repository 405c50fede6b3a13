//! What training on a CUDA device needs beside tch: `FlashAttention`, copies that nobody waits for, dropout, the allocator's figures.

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::{Error, Heads, checked};
use crate::data::Sequences;
use crate::error::Result;

unsafe extern "C" {
    fn trainyard_flash_attention(
        qkv: *const C_tensor,
        bounds: *const C_tensor,
        out: *mut C_tensor,
        lse: *mut C_tensor,
        longest: i64,
        window: i64,
        heads: i64,
        kv_heads: i64,
        head: i64,
        scale: f64,
    ) -> Error;
    fn trainyard_flash_attention_backward(
        dout: *const C_tensor,
        qkv: *const C_tensor,
        bounds: *const C_tensor,
        out: *const C_tensor,
        lse: *const C_tensor,
        dqkv: *mut C_tensor,
        longest: i64,
        window: i64,
        heads: i64,
        kv_heads: i64,
        head: i64,
        scale: f64,
    ) -> Error;
    fn trainyard_fused_rms_norm_backward(
        dy: *const C_tensor,
        x: *const C_tensor,
        w: *const C_tensor,
        rstd: *const C_tensor,
        dx: *mut C_tensor,
    ) -> Error;
    fn trainyard_send(x: *const C_tensor, y: *mut C_tensor, device: i64) -> Error;
    fn trainyard_dropout(mask: *mut C_tensor, seed: i64, keep: f64) -> Error;
    fn trainyard_cuda_memory(device: i64, held: *mut i64, peak: *mut i64) -> Error;
}

/// The widest heads whose gradient every device of compute capability 8.0 and above can take.
const FLASH_WIDTH_MAX: i64 = 192;

/// The sequences that an attention is over, as the kernel takes them.
#[derive(Debug, Clone, Copy)]
pub struct Over<'a> {
    /// Where each begins in the rows, and where the last ends, in int32 on the device.
    pub bounds: &'a Tensor,
    /// Positions of the longest.
    pub longest: i64,
    /// Positions that each one sees, itself included; all before it in its sequence where absent.
    pub window: Option<i64>,
}

impl<'a> Over<'a> {
    /// `sequences`, whose bounds are also on the device.
    pub fn new(sequences: &Sequences, bounds: &'a Tensor, window: Option<i64>) -> Self {
        let longest = sequences.longest() as i64;
        Self { bounds, longest, window: window.filter(|&window| window < longest) }
    }
}

/// Whether [`flash_attention`] takes heads of this shape.
pub fn flash_takes(heads: Heads) -> bool {
    heads.width % 8 == 0 && heads.width <= FLASH_WIDTH_MAX && heads.query % heads.key == 0
}

/// Whether `device` has [`flash_attention`] in `kind`. It is tried, gradient included: that depends on the device's age and on how libtorch was
/// built.
pub fn has_flash_attention(device: Device, kind: Kind) -> bool {
    let heads = Heads { query: 2, key: 1, width: 64 };
    let sequences = Sequences::whole(1, 8);
    let tried = || -> Result<()> {
        let qkv = Tensor::f_zeros([8, heads.columns()], (kind, device))?;
        let bounds = Tensor::f_from_slice(sequences.bounds())?.f_to_device(device)?;
        let over = Over::new(&sequences, &bounds, Some(4));
        let (out, lse) = flash_attention(&qkv, over, heads)?;
        flash_attention_backward(&out, &qkv, over, (&out, &lse), heads).map(drop)
    };
    matches!(device, Device::Cuda(_))
        && matches!(kind, Kind::BFloat16 | Kind::Half)
        && tried().is_ok()
}

/// Attention of `qkv` (n, columns) in bf16 or fp16 on a CUDA device, by libtorch's `FlashAttention-2` (arXiv 2307.08691). Gives the heads side
/// by side (n, heads * width) in the same format, and the logarithm of each softmax's sum (heads, n) in fp32.
///
/// # Errors
/// Where shapes, format or device do not fit.
pub fn flash_attention(qkv: &Tensor, over: Over<'_>, heads: Heads) -> Result<(Tensor, Tensor)> {
    let (mut out, mut lse) = (Tensor::new(), Tensor::new());
    // SAFETY: the pointers are of live tensors, and those that are written are held by nobody else; so in every call below.
    checked(unsafe {
        trainyard_flash_attention(
            qkv.as_ptr(),
            over.bounds.as_ptr(),
            out.as_mut_ptr(),
            lse.as_mut_ptr(),
            over.longest,
            over.window.unwrap_or(0),
            heads.query,
            heads.key,
            heads.width,
            heads.scale(),
        )
    })?;
    Ok((out, lse))
}

/// The gradient of [`flash_attention`] with respect to `qkv` for `dout`, from what the forward pass gave: the same bits each time.
///
/// # Errors
/// Where shapes, format or device do not fit.
pub fn flash_attention_backward(
    dout: &Tensor,
    qkv: &Tensor,
    over: Over<'_>,
    (out, lse): (&Tensor, &Tensor),
    heads: Heads,
) -> Result<Tensor> {
    let mut dqkv = Tensor::new();
    // SAFETY: see `flash_attention`.
    checked(unsafe {
        trainyard_flash_attention_backward(
            dout.as_ptr(),
            qkv.as_ptr(),
            over.bounds.as_ptr(),
            out.as_ptr(),
            lse.as_ptr(),
            dqkv.as_mut_ptr(),
            over.longest,
            over.window.unwrap_or(0),
            heads.query,
            heads.key,
            heads.width,
            heads.scale(),
        )
    })?;
    Ok(dqkv)
}

/// The gradient of libtorch's fused `RMSNorm` on a CUDA device at `x` for `dy`; `rstd` is (n, 1).
///
/// # Errors
/// Where shapes, formats or device do not fit.
pub fn fused_rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    w: &Tensor,
    rstd: &Tensor,
) -> Result<Tensor> {
    let mut dx = Tensor::new();
    // SAFETY: see `flash_attention`.
    checked(unsafe {
        trainyard_fused_rms_norm_backward(
            dy.as_ptr(),
            x.as_ptr(),
            w.as_ptr(),
            rstd.as_ptr(),
            dx.as_mut_ptr(),
        )
    })?;
    Ok(dx)
}

/// `x`, which is on the processor, on a CUDA device, copied from pinned memory without a wait.
///
/// # Errors
/// As libtorch reports.
pub fn send(x: &Tensor, device: i64) -> Result<Tensor> {
    let mut y = Tensor::new();
    // SAFETY: see `flash_attention`.
    checked(unsafe { trainyard_send(x.as_ptr(), y.as_mut_ptr(), device) })?;
    Ok(y)
}

/// Makes `mask` factors of dropout: `1 / keep` with probability `keep`, else 0, drawn where it is. The same for the same seed there.
///
/// # Errors
/// As libtorch reports.
pub fn dropout(mask: &mut Tensor, seed: u64, keep: f64) -> Result<()> {
    // SAFETY: see `flash_attention`.
    checked(unsafe { trainyard_dropout(mask.as_mut_ptr(), seed.cast_signed(), keep) })
}

/// Bytes of a CUDA device's memory, from the statistics of libtorch's allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CudaMemory {
    /// Held, what is kept for reuse included.
    pub held: u64,
    /// The most that tensors took at once.
    pub peak: u64,
}

/// What libtorch's allocator says of a CUDA device.
///
/// # Errors
/// Where there is no such device.
pub fn cuda_memory(device: i64) -> Result<CudaMemory> {
    let (mut held, mut peak) = (0, 0);
    // SAFETY: the pointers are to numbers that live through the call.
    checked(unsafe { trainyard_cuda_memory(device, &raw mut held, &raw mut peak) })?;
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(CudaMemory { held: bytes(held), peak: bytes(peak) })
}
