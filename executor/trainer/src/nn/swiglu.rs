//! The gated unit of the MLP (arXiv 2002.05202): `silu(gate) * up`, gate and values side by side.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::kernels;
use crate::nn::compute::Kernels;

/// `silu(gate) * up` of `gate_up_nf` (n, 2 f): (n, f).
///
/// # Errors
/// As libtorch reports.
pub fn forward(gate_up_nf: &Tensor, by: Kernels) -> Result<Tensor> {
    if by == Kernels::Processor {
        return kernels::swiglu(gate_up_nf);
    }
    let (gate, up) = halves(gate_up_nf)?;
    Ok(gate.f_silu()?.f_mul(&up)?)
}

/// The gradient of [`forward`] for `dh_nf` (n, f), in place of what it was given.
///
/// # Errors
/// As libtorch reports.
pub fn backward(dh_nf: &Tensor, mut gate_up_nf: Tensor, by: Kernels) -> Result<Tensor> {
    if by == Kernels::Processor {
        kernels::swiglu_backward(dh_nf, &mut gate_up_nf)?;
        return Ok(gate_up_nf);
    }
    let (gate, up) = halves(&gate_up_nf)?;
    if by == Kernels::Cuda {
        // In the activations' format, in four passes over them and in place.
        let (silu, dsilu) = (gate.f_silu()?, dh_nf.f_mul(&up)?);
        let _ = dh_nf.f_mul_out(&up, &silu)?;
        let _ = gate.f_silu_backward_grad_input(&gate, &dsilu)?;
        return Ok(gate_up_nf);
    }
    let (g, d) = (gate.f_to_kind(Kind::Float)?, dh_nf.f_to_kind(Kind::Float)?);
    let sigmoid = g.f_sigmoid()?;
    // silu'(g) = s + g s (1 - s)
    let slope = sigmoid.f_add(&g.f_mul(&sigmoid)?.f_mul(&sigmoid.f_neg()?.f_add_scalar(1.0)?)?)?;
    let dgate = d.f_mul(&up)?.f_mul(&slope)?;
    let dup = d.f_mul(&g)?.f_mul(&sigmoid)?;
    Ok(Tensor::f_cat(&[&dgate, &dup], 1)?.f_to_kind(gate_up_nf.kind())?)
}

fn halves(gate_up_nf: &Tensor) -> Result<(Tensor, Tensor)> {
    let f = gate_up_nf.size()[1] / 2;
    Ok((gate_up_nf.f_narrow(1, 0, f)?, gate_up_nf.f_narrow(1, f, f)?))
}
