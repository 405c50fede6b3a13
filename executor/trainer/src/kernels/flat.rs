//! Loops over the flat buffers of parameters, gradients and moments. Each is one pass over memory: a model has more numbers than a
//! processor has cache.

use std::ptr::null_mut;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::{Error, checked};
use crate::error::Result;

unsafe extern "C" {
    fn trainyard_squares(x: *const C_tensor, sum: *mut f64) -> Error;
    fn trainyard_add(sum: *mut C_tensor, x: *const C_tensor, scale: f64) -> Error;
    fn trainyard_add_rows(sum: *mut C_tensor, x: *const C_tensor, factors: *const f64) -> Error;
    fn trainyard_adamw_flat(
        p: *mut C_tensor,
        g: *mut C_tensor,
        m: *mut C_tensor,
        v: *mut C_tensor,
        copy: *mut C_tensor,
        scale: f64,
        step: f64,
        rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> Error;
    fn trainyard_adamw(
        p: *mut C_tensor,
        g: *mut C_tensor,
        m: *mut C_tensor,
        v: *mut C_tensor,
        step: f64,
        rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> Error;
}

/// The sum of the squares of a dense tensor of fp32 or bf16, in fp64.
///
/// # Errors
/// As libtorch reports.
pub fn squares(x: &Tensor) -> Result<f64> {
    if x.device() != Device::Cpu {
        return Ok(x
            .f_linalg_norm(2, None::<&[i64]>, false, Kind::Double)?
            .f_double_value(&[])?
            .powi(2));
    }
    let mut sum = 0.0;
    // SAFETY: the pointers are of a live tensor and of a number that lives through the call.
    checked(unsafe { trainyard_squares(x.as_ptr(), &raw mut sum) })?;
    Ok(sum)
}

/// Adds `scale * x`, fp32 or bf16, to `sum` in fp32. Both are dense and on the processor.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn add(sum: &mut Tensor, x: &Tensor, scale: f64) -> Result<()> {
    // SAFETY: the pointers are of live tensors, and `sum` is held for writing by nobody else; so in every call below.
    checked(unsafe { trainyard_add(sum.as_mut_ptr(), x.as_ptr(), scale) })
}

/// Adds the rows of `x`, (n, count) in fp32 or bf16, times their `factors` to `sum` in fp32. Both are dense.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn add_rows(sum: &mut Tensor, x: &Tensor, factors: &[f64]) -> Result<()> {
    let rows = x.size2()?.0;
    if rows != factors.len() as i64 {
        let text = format!("{} factors for {rows} rows", factors.len());
        return Err(tch::TchError::Shape(text).into());
    }
    if x.device() != Device::Cpu {
        let factors: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
        let factors = Tensor::f_from_slice(&factors)?.f_to_device(x.device())?;
        let _ = sum.f_addmv_(&x.f_to_kind(Kind::Float)?.f_transpose(0, 1)?, &factors)?;
        return Ok(());
    }
    // SAFETY: see `add`; there are as many factors as rows.
    checked(unsafe { trainyard_add_rows(sum.as_mut_ptr(), x.as_ptr(), factors.as_ptr()) })
}

/// The numbers of a dense fp32 tensor on the processor. Nobody may use another view of them meanwhile.
///
/// # Errors
/// For any other tensor.
pub fn numbers_mut(x: &mut Tensor) -> Result<&mut [f32]> {
    if x.device() != Device::Cpu || x.kind() != Kind::Float || !x.is_contiguous() {
        let text = format!("no dense fp32 tensor on the processor: {x:?}");
        return Err(tch::TchError::Shape(text).into());
    }
    // SAFETY: the tensor is dense and of this format, lives as long as the slice, and is held for writing by nobody else.
    Ok(unsafe { std::slice::from_raw_parts_mut(x.data_ptr().cast(), x.numel()) })
}

/// Constants of one [`adamw`] update.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// The update's number, from 1.
    pub step: u64,
    /// Learning rate.
    pub rate: f64,
    /// Decay rates of the moments.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// What gradients are multiplied by first.
    pub scale: f64,
}

/// One `AdamW` update of flat fp32 tensors, which clears the gradients; `copy` gets the parameters in its own format. On the processor in one
/// pass over memory, elsewhere by libtorch's fused operator, which torch-sys leaves out.
///
/// # Errors
/// Where shapes or formats do not fit.
pub fn adamw(
    parameters: &mut Tensor,
    gradients: &mut Tensor,
    (first, second): (&mut Tensor, &mut Tensor),
    copy: Option<&mut Tensor>,
    with: AdamWStep,
) -> Result<()> {
    let AdamWStep { step, rate, betas: [beta1, beta2], weight_decay, eps, scale } = with;
    let (p, g) = (parameters.as_mut_ptr(), gradients.as_mut_ptr());
    let (m, v) = (first.as_mut_ptr(), second.as_mut_ptr());
    let narrow = copy.as_ref().is_none_or(|copy| copy.kind() == Kind::BFloat16);
    if parameters.device() == Device::Cpu && narrow {
        let copy = copy.map_or(null_mut(), Tensor::as_mut_ptr);
        // SAFETY: see `add`; a null copy is none.
        return checked(unsafe {
            trainyard_adamw_flat(
                p,
                g,
                m,
                v,
                copy,
                scale,
                step as f64,
                rate,
                beta1,
                beta2,
                weight_decay,
                eps,
            )
        });
    }
    if scale != 1.0 {
        let _ = gradients.f_mul_scalar_(scale)?;
    }
    // SAFETY: see `add`.
    checked(unsafe {
        trainyard_adamw(p, g, m, v, step as f64, rate, beta1, beta2, weight_decay, eps)
    })?;
    if let Some(copy) = copy {
        copy.f_copy_(parameters)?;
    }
    let _ = gradients.f_zero_()?;
    Ok(())
}
