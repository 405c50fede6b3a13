//! The face of the C++ kernels: loops over rows that libtorch has no single operator for, and attention, on the processor; what CUDA devices
//! need is in `device`.
//!
//! Every function has its formula in plain tensor operations beside its caller in `nn`; a test holds the two together. Tensors must
//! be dense, on the processor, in fp32 or bf16 as said. Results depend on the instruction set, but not on the number of threads.

mod attention;
mod device;
mod flat;

use std::ffi::{CStr, c_char, c_int};

use tch::{Kind, Tensor};
use torch_sys::C_tensor;

pub use attention::{Heads, attention, attention_backward, has_narrow_products};
pub use device::{
    CudaMemory, Over, cuda_memory, dropout, flash_attention, flash_attention_backward, flash_takes,
    fused_rms_norm_backward, has_flash_attention, send,
};
pub use flat::{AdamWStep, adamw, add, add_rows, numbers_mut, squares};

use crate::error::{Result, TrainerError};

type Error = *mut c_char;

unsafe extern "C" {
    fn trainyard_free(error: Error);
    fn trainyard_rms_norm(
        x: *const C_tensor,
        w: *const C_tensor,
        y: *mut C_tensor,
        rstd: *mut C_tensor,
        eps: f64,
    ) -> Error;
    fn trainyard_rms_norm_backward(
        dy: *const C_tensor,
        x: *const C_tensor,
        w: *const C_tensor,
        rstd: *const C_tensor,
        dx: *mut C_tensor,
    ) -> Error;
    fn trainyard_rms_norm_weight(
        dy: *const C_tensor,
        x: *const C_tensor,
        rstd: *const C_tensor,
        out: *mut C_tensor,
        size: i64,
    ) -> Error;
    fn trainyard_swiglu(gate_up: *const C_tensor, h: *mut C_tensor) -> Error;
    fn trainyard_swiglu_backward(dh: *const C_tensor, gate_up: *mut C_tensor) -> Error;
    fn trainyard_rope(
        x: *mut C_tensor,
        cos: *const C_tensor,
        sin: *const C_tensor,
        heads: i64,
        head: i64,
        inverse: c_int,
    ) -> Error;
    fn trainyard_divergence(
        logits: *const C_tensor,
        old: *mut C_tensor,
        out: *mut C_tensor,
        inverse: f64,
        scale: f64,
    ) -> Error;
    fn trainyard_cross_entropy(
        logits: *mut C_tensor,
        targets: *const C_tensor,
        loss: *mut C_tensor,
        correct: *mut C_tensor,
        scale: f64,
    ) -> Error;
}

/// `w * (x * rstd)` of rows `x` and `rstd = 1 / sqrt(mean(x^2) + eps)` of each, which is fp32.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn rms_norm(x: &Tensor, w: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let (mut y, rows) = (x.f_empty_like()?, x.numel() as i64 / w.numel() as i64);
    let mut rstd = Tensor::f_empty([rows], (Kind::Float, x.device()))?;
    // SAFETY: the pointers are of live tensors, and `y` and `rstd` are held by nobody else; so in every call below.
    checked(unsafe {
        trainyard_rms_norm(x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), rstd.as_mut_ptr(), eps)
    })?;
    Ok((y, rstd))
}

/// Adds to `dx` the gradient of [`rms_norm`] at `x` for `dy`.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    w: &Tensor,
    rstd: &Tensor,
    dx: &mut Tensor,
) -> Result<()> {
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_rms_norm_backward(
            dy.as_ptr(),
            x.as_ptr(),
            w.as_ptr(),
            rstd.as_ptr(),
            dx.as_mut_ptr(),
        )
    })
}

/// The gradient of the weight of [`rms_norm`] at `x` for `dy`, of each `size` rows: (groups, width) in fp32.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn rms_norm_weight(dy: &Tensor, x: &Tensor, rstd: &Tensor, size: i64) -> Result<Tensor> {
    let rows = rstd.numel() as i64;
    let (groups, width) = ((rows + size - 1) / size.max(1), x.numel() as i64 / rows.max(1));
    let mut out = Tensor::f_empty([groups, width], (Kind::Float, x.device()))?;
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_rms_norm_weight(dy.as_ptr(), x.as_ptr(), rstd.as_ptr(), out.as_mut_ptr(), size)
    })?;
    Ok(out)
}

/// `silu(gate) * up` of `gate_up` (n, 2 f): (n, f).
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn swiglu(gate_up: &Tensor) -> Result<Tensor> {
    let (n, wide) = gate_up.size2()?;
    let mut h = Tensor::f_empty([n, wide / 2], (gate_up.kind(), gate_up.device()))?;
    // SAFETY: see `rms_norm`.
    checked(unsafe { trainyard_swiglu(gate_up.as_ptr(), h.as_mut_ptr()) })?;
    Ok(h)
}

/// Turns `gate_up` into the gradient of [`swiglu`] at it for `dh`.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn swiglu_backward(dh: &Tensor, gate_up: &mut Tensor) -> Result<()> {
    // SAFETY: see `rms_norm`.
    checked(unsafe { trainyard_swiglu_backward(dh.as_ptr(), gate_up.as_mut_ptr()) })
}

/// Turns the first `heads` heads of each row of `x` (n, c) by angles whose cosine and sine are (rows, width / 2) in fp32 and repeat
/// over the rows of `x`; the other way where `inverse`.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn rope(
    x: &mut Tensor,
    (cos, sin): (&Tensor, &Tensor),
    heads: i64,
    width: i64,
    inverse: bool,
) -> Result<()> {
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_rope(
            x.as_mut_ptr(),
            cos.as_ptr(),
            sin.as_ptr(),
            heads,
            width,
            c_int::from(inverse),
        )
    })
}

/// Negative log-likelihoods of `targets` (n) under `logits` (n, v), and 1 where the target was the likeliest. Unless `scale` is 0, the
/// logits, fp32 or bf16, become `scale * (softmax - onehot)`. Losses are fp32.
///
/// # Errors
/// Where shapes or formats do not fit, or a target is no row of the vocabulary.
pub fn cross_entropy(
    logits: &mut Tensor,
    targets: &Tensor,
    scale: f64,
) -> Result<(Tensor, Tensor)> {
    let options = (Kind::Float, logits.device());
    let mut loss = Tensor::f_empty([logits.size()[0]], options)?;
    let mut correct = Tensor::f_empty([logits.size()[0]], options)?;
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_cross_entropy(
            logits.as_mut_ptr(),
            targets.as_ptr(),
            loss.as_mut_ptr(),
            correct.as_mut_ptr(),
            scale,
        )
    })?;
    Ok((loss, correct))
}

/// `sum p_old (log p_old - log p_new)` of each row, (n) in fp32, with the softmax of logits over `temperature`: `logits` (n, v) are the new ones and
/// `old` (n, v) become `scale * (p_new - p_old)`. Both are fp32.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn divergence(
    logits: &Tensor,
    old: &mut Tensor,
    temperature: f64,
    scale: f64,
) -> Result<Tensor> {
    let mut out = Tensor::f_empty([logits.size()[0]], (Kind::Float, logits.device()))?;
    let inverse = 1.0 / temperature;
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_divergence(logits.as_ptr(), old.as_mut_ptr(), out.as_mut_ptr(), inverse, scale)
    })?;
    Ok(out)
}

/// What a kernel says of itself: null, or why it has done nothing.
fn checked(error: Error) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the kernels give null or a string that ends in a zero byte, and it is read before it is freed.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    // SAFETY: it came from the kernels' own allocation and is freed once.
    unsafe { trainyard_free(error) };
    Err(TrainerError::from(tch::TchError::Torch(text)))
}
