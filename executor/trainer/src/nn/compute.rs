//! How a model computes: device, format, kernels or plain operations, and its matrix products.
//!
//! A processor without fast bf16 instructions multiplies bf16 matrices slower than fp32 ones, many times where it has none at all (libtorch then
//! has only a loop for it). There the products' inputs are widened and the result is rounded: bf16 keeps its memory, at fp32's speed.

use tch::{Device, Kind, Tensor};
use trainyard_plan::fast_bf16;

use crate::device;
use crate::error::Result;
use crate::kernels;

/// Numbers of a gradient that are computed at a time, in bf16: 2 MiB.
const PIECE: i64 = 1 << 20;

/// Whose kernels compute what no single operator of libtorch's general ones does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Nobody's: plain tensor operations, the formulas that the others are held to.
    Plain,
    /// Those of this crate, on the processor.
    Processor,
    /// Those that libtorch carries for CUDA devices.
    Cuda,
}

/// The choice, made once for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// Where.
    pub device: Device,
    /// The format of weights and activations.
    pub kind: Kind,
    /// Whose kernels.
    pub kernels: Kernels,
    /// Whether attention is libtorch's `FlashAttention`, for heads that it takes.
    pub flash: bool,
    /// The format that attention computes in, where this crate's kernels do it: bf16 where they have products for it, else fp32.
    pub attention: Kind,
    /// Whether matrix products are widened to fp32.
    widened: bool,
}

impl Compute {
    /// The fastest way on `device` in `kind`.
    pub fn new(device: Device, kind: Kind) -> Self {
        let processor = device == Device::Cpu;
        let kernels = match (device, kind) {
            (Device::Cpu, Kind::Float | Kind::BFloat16) => Kernels::Processor,
            (Device::Cuda(_), _) => Kernels::Cuda,
            _ => Kernels::Plain,
        };
        let widened = processor && kind != Kind::Float && !fast_bf16(&device::processor());
        let narrow =
            processor && kind == Kind::BFloat16 && !widened && kernels::has_narrow_products();
        let attention = if narrow { Kind::BFloat16 } else { Kind::Float };
        let flash = kernels::has_flash_attention(device, kind);
        Self { device, kind, kernels, flash, attention, widened }
    }

    /// The same without kernels: the reference that they are held to.
    pub fn plain(self) -> Self {
        Self { kernels: Kernels::Plain, flash: false, ..self }
    }

    /// The format that products are computed in.
    pub fn product_format(&self) -> Kind {
        if self.widened { Kind::Float } else { self.kind }
    }

    /// The same with activations in the format of products: so a layer of several widens its input and rounds its output once.
    pub fn of_products(&self) -> Self {
        Self { kind: self.product_format(), ..*self }
    }

    /// `x w^T` of `x_ni` and `w_oi`: (n, o).
    ///
    /// # Errors
    /// As libtorch reports; so does everything here.
    pub fn project(&self, x_ni: &Tensor, w_oi: &Tensor) -> Result<Tensor> {
        self.product(x_ni, &w_oi.f_transpose(0, 1)?)
    }

    /// `x w^T` over what is in `y_no`, whose rows may lie apart.
    pub fn project_over(&self, y_no: &mut Tensor, x_ni: &Tensor, w_oi: &Tensor) -> Result<()> {
        if self.kind == self.product_format() {
            let _ = x_ni.f_mm_out(y_no, &w_oi.f_transpose(0, 1)?)?;
        } else {
            y_no.f_copy_(&self.project(x_ni, w_oi)?)?;
        }
        Ok(())
    }

    /// `y + x w^T`, in place of `y_no`, whose rows may lie apart.
    pub fn project_onto(&self, y_no: &mut Tensor, x_ni: &Tensor, w_oi: &Tensor) -> Result<()> {
        self.product_onto(y_no, x_ni, &w_oi.f_transpose(0, 1)?)
    }

    /// `x w` of `x_no` and `w_oi`: (n, i).
    pub fn product(&self, x_no: &Tensor, w_oi: &Tensor) -> Result<Tensor> {
        if self.widened {
            return Ok(wide(x_no)?.f_mm(&wide(w_oi)?)?.f_to_kind(self.kind)?);
        }
        Ok(x_no.f_mm(w_oi)?)
    }

    /// `y + x w`, in place of `y_ni`, whose rows may lie apart.
    pub fn product_onto(&self, y_ni: &mut Tensor, x_no: &Tensor, w_oi: &Tensor) -> Result<()> {
        if self.widened {
            let sum = wide(y_ni)?.f_addmm_(&wide(x_no)?, &wide(w_oi)?)?;
            y_ni.f_copy_(&sum)?;
            return Ok(());
        }
        let _ = y_ni.f_addmm_(x_no, w_oi)?;
        Ok(())
    }

    /// Adds `scale * dy^T x` to the gradient `sum_oi`, which is fp32 in every format and dense.
    pub fn outer_onto(
        &self,
        sum_oi: &mut Tensor,
        dy_no: &Tensor,
        x_ni: &Tensor,
        scale: f64,
    ) -> Result<()> {
        let dy_on = dy_no.f_transpose(0, 1)?;
        if self.kind == Kind::Float || self.widened {
            let (dy, x) = scaled(&wide(&dy_on)?, &wide(x_ni)?, scale)?;
            let _ = sum_oi.f_addmm_(&dy, &x)?;
        } else if self.kernels == Kernels::Processor {
            // In pieces that stay in the cache until they are added.
            let (out, inputs) = sum_oi.size2()?;
            let rows = (PIECE / inputs).max(1);
            for start in (0..out).step_by(rows as usize) {
                let count = rows.min(out - start);
                let product = dy_on.f_narrow(0, start, count)?.f_mm(x_ni)?;
                kernels::add(&mut sum_oi.f_narrow(0, start, count)?, &product, scale)?;
            }
        } else {
            let product = dy_on.f_mm(x_ni)?.f_to_kind(Kind::Float)?;
            let _ = sum_oi.f_add_(&product.f_mul_scalar(scale)?)?;
        }
        Ok(())
    }

    /// Writes `scale * dy^T x` of each row of the batch over what is in `out_boi`, in fp32 or in the compute format.
    pub fn outers_over(
        &self,
        out_boi: &Tensor,
        dy_bto: &Tensor,
        x_bti: &Tensor,
        scale: f64,
    ) -> Result<()> {
        let (dy_bto, x_bti) = scaled(dy_bto, x_bti, scale)?;
        let dy_bot = dy_bto.f_transpose(1, 2)?;
        if out_boi.kind() == Kind::Float {
            let _ = wide(&dy_bot)?.f_bmm_out(out_boi, &wide(&x_bti)?)?;
            return Ok(());
        }
        // One by one, as below.
        for row in 0..out_boi.size()[0] {
            let (dy_ot, x_ti) = (dy_bot.f_get(row)?, x_bti.f_get(row)?);
            let product = match self.widened {
                true => wide(&dy_ot)?.f_mm(&wide(&x_ti)?)?,
                false => dy_ot.f_mm(&x_ti)?,
            };
            out_boi.f_get(row)?.f_copy_(&product)?;
        }
        Ok(())
    }

    /// Adds `scale * dy^T x` of each row of the batch to its own gradient in `sum_boi`, which is fp32 in every format and whose matrices
    /// may lie apart.
    pub fn outers_onto(
        &self,
        sum_boi: &mut Tensor,
        dy_bto: &Tensor,
        x_bti: &Tensor,
        scale: f64,
    ) -> Result<()> {
        if self.kind != Kind::Float && !self.widened {
            // One by one: libtorch's batched product of this format copies what is transposed, element by element.
            for row in 0..x_bti.size()[0] {
                let (dy, x) = (dy_bto.f_get(row)?, x_bti.f_get(row)?);
                self.outer_onto(&mut sum_boi.f_get(row)?, &dy, &x, scale)?;
            }
            return Ok(());
        }
        let (dy, x) = (wide(&dy_bto.f_transpose(1, 2)?)?, wide(x_bti)?);
        let (dy, x) = scaled(&dy, &x, scale)?;
        let _ = sum_boi.f_baddbmm_(&dy, &x)?;
        Ok(())
    }
}

/// Factors of `scale * a b`, the scale in the smaller one: tch's products in place take none.
fn scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<(Tensor, Tensor)> {
    Ok(match scale {
        1.0 => (a.shallow_clone(), b.shallow_clone()),
        _ if a.numel() <= b.numel() => (a.f_mul_scalar(scale)?, b.shallow_clone()),
        _ => (a.shallow_clone(), b.f_mul_scalar(scale)?),
    })
}

/// The same values in memory of their own.
///
/// # Errors
/// As libtorch reports.
pub fn copied(x: &Tensor) -> Result<Tensor> {
    copied_in(x, x.kind())
}

/// The same values in memory of their own, in the format `kind`.
///
/// # Errors
/// As libtorch reports.
pub fn copied_in(x: &Tensor, kind: Kind) -> Result<Tensor> {
    let mut copy = Tensor::f_empty(x.size(), (kind, x.device()))?;
    copy.f_copy_(x)?;
    Ok(copy)
}

/// The same values in fp32: the tensor itself where it is.
///
/// # Errors
/// As libtorch reports.
pub fn wide(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_to_kind(Kind::Float)?)
}
