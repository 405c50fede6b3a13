//! Attention: in fp32, or in bf16 with products of bf16 numbers.

use std::ffi::c_int;

use tch::{Kind, Tensor};
use torch_sys::C_tensor;

use super::{Error, checked};
use crate::error::Result;

unsafe extern "C" {
    fn trainyard_has_narrow_products() -> c_int;
    fn trainyard_attention(
        qkv: *const C_tensor,
        first: *const C_tensor,
        out: *mut C_tensor,
        lse: *mut C_tensor,
        length: i64,
        heads: i64,
        kv_heads: i64,
        head: i64,
        scale: f64,
    ) -> Error;
    fn trainyard_attention_backward(
        dout: *const C_tensor,
        qkv: *const C_tensor,
        first: *const C_tensor,
        out: *const C_tensor,
        lse: *mut C_tensor,
        dqkv: *mut C_tensor,
        length: i64,
        heads: i64,
        kv_heads: i64,
        head: i64,
        scale: f64,
    ) -> Error;
}

/// Heads of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub query: i64,
    /// Key heads, and as many value heads.
    pub key: i64,
    /// Width of a head.
    pub width: i64,
}

impl Heads {
    /// Columns of queries, keys and values side by side.
    pub fn columns(&self) -> i64 {
        (self.query + 2 * self.key) * self.width
    }

    /// Factor on the scores.
    pub fn scale(&self) -> f64 {
        1.0 / (self.width as f64).sqrt()
    }
}

/// Whether [`attention`] takes bf16 here: the processor has to have products of bf16 numbers.
pub fn has_narrow_products() -> bool {
    // SAFETY: it takes and gives plain values.
    unsafe { trainyard_has_narrow_products() != 0 }
}

/// Attention of `qkv` (b t, columns) in fp32, or in bf16 where [`has_narrow_products`] and heads have an even width. Position i of each row
/// of `length` sees the positions from `first[i]` (b t, int32) to itself. Gives the heads side by side (b t, heads * width) in the format of
/// `qkv`, and the logarithm of each softmax's sum (b t, heads) in fp32.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn attention(
    qkv: &Tensor,
    first: &Tensor,
    length: i64,
    heads: Heads,
) -> Result<(Tensor, Tensor)> {
    let (n, device) = (qkv.size()[0], qkv.device());
    let mut out = Tensor::f_empty([n, heads.query * heads.width], (qkv.kind(), device))?;
    let mut lse = Tensor::f_empty([n, heads.query], (Kind::Float, device))?;
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_attention(
            qkv.as_ptr(),
            first.as_ptr(),
            out.as_mut_ptr(),
            lse.as_mut_ptr(),
            length,
            heads.query,
            heads.key,
            heads.width,
            heads.scale(),
        )
    })?;
    Ok((out, lse))
}

/// The gradient of [`attention`] with respect to `qkv` for `dout`, from what the forward pass gave.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn attention_backward(
    dout: &Tensor,
    qkv: &Tensor,
    first: &Tensor,
    (out, lse): (&Tensor, &mut Tensor),
    length: i64,
    heads: Heads,
) -> Result<Tensor> {
    let mut dqkv = qkv.f_empty_like()?;
    // SAFETY: see `rms_norm`.
    checked(unsafe {
        trainyard_attention_backward(
            dout.as_ptr(),
            qkv.as_ptr(),
            first.as_ptr(),
            out.as_ptr(),
            lse.as_mut_ptr(),
            dqkv.as_mut_ptr(),
            length,
            heads.query,
            heads.key,
            heads.width,
            heads.scale(),
        )
    })?;
    Ok(dqkv)
}
