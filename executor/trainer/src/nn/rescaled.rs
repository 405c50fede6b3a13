//! Frozen linear layers of one input with learned factors on outputs or inputs: `y = l (W x + b)`, `y = W (l x) + b`.
//!
//! Where a factor is on the input, a projection reads another input than its neighbours and is a product of its own.

use tch::Tensor;

use crate::error::Result;
use crate::nn::compute::{Compute, copied};
use crate::nn::linear::{Kept, Linear};
use crate::peft::ia3::Ia3;
use crate::peft::lora::Pass;

/// Rows of the matrix that read the same input, with what scales that input.
struct Piece<'a> {
    start: i64,
    out: i64,
    on_input: Option<&'a Ia3>,
}

impl Piece<'_> {
    fn input(&self, x_ni: &Tensor) -> Result<Tensor> {
        match self.on_input {
            Some(ia3) => ia3.scaled(x_ni),
            None => Ok(x_ni.shallow_clone()),
        }
    }
}

impl Linear {
    /// Whether factors take part in this pass.
    pub(super) fn is_rescaled(&self, pass: &Pass) -> bool {
        pass.adapter && self.projections.iter().any(|projection| projection.ia3.is_some())
    }

    pub(super) fn forward_rescaled(
        &self,
        x_ni: &Tensor,
        onto: Option<&Tensor>,
        compute: &Compute,
    ) -> Result<(Tensor, Kept)> {
        let products = self.pieces().into_iter().map(|piece| {
            let weight_oi = self.weight_oi.f_narrow(0, piece.start, piece.out)?;
            let mut y_no = compute.project(&piece.input(x_ni)?, &weight_oi)?;
            if let Some(bias_o) = &self.bias_o {
                let _ = y_no.f_add_(&bias_o.f_narrow(0, piece.start, piece.out)?)?;
            }
            Ok(y_no)
        });
        let mut products = products.collect::<Result<Vec<_>>>()?;
        let mut y_no = match products.len() {
            1 => products.swap_remove(0),
            _ => Tensor::f_cat(&products, 1)?,
        };
        let (mut low, mut unscaled) = (Vec::new(), Vec::new());
        for (projection, start) in self.places() {
            let mut own = y_no.f_narrow(1, start, projection.out)?;
            unscaled.push(match &projection.ia3 {
                Some(ia3) if !ia3.feedforward => {
                    let before = copied(&own)?;
                    own.f_copy_(&ia3.scaled(&before)?)?;
                    Some(before)
                }
                _ => None,
            });
            low.push(None);
        }
        if let Some(onto) = onto {
            y_no = y_no.f_add_(onto)?;
        }
        Ok((y_no, Kept { low, unscaled }))
    }

    pub(super) fn backward_rescaled(
        &self,
        dy_no: &Tensor,
        x_ni: &Tensor,
        kept: &Kept,
        compute: &Compute,
        pass: &Pass,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let on_outputs = kept.unscaled.iter().any(Option::is_some);
        // The gradient may be that of the residual stream, which goes on as it is.
        let dy_no = if on_outputs { copied(dy_no)? } else { dy_no.shallow_clone() };
        for ((projection, start), before) in self.places().zip(&kept.unscaled) {
            if let (Some(ia3), Some(before)) = (&projection.ia3, before) {
                let mut own = dy_no.f_narrow(1, start, projection.out)?;
                ia3.add_gradient(&own, before, pass)?;
                let scaled = ia3.scaled(&own)?;
                own.f_copy_(&scaled)?;
            }
        }
        let mut dx_ni: Option<Tensor> = None;
        for piece in self.pieces() {
            if !wanted && piece.on_input.is_none() {
                continue;
            }
            let own = dy_no.f_narrow(1, piece.start, piece.out)?;
            let weight_oi = self.weight_oi.f_narrow(0, piece.start, piece.out)?;
            let mut dx = compute.product(&own, &weight_oi)?;
            if let Some(ia3) = piece.on_input {
                ia3.add_gradient(&dx, x_ni, pass)?;
                dx = ia3.scaled(&dx)?;
            }
            dx_ni = Some(match dx_ni {
                Some(mut sum) => sum.f_add_(&dx)?,
                None => dx,
            });
        }
        Ok(dx_ni.filter(|_| wanted))
    }

    /// All of the matrix, or each projection by itself where one of them scales its input.
    fn pieces(&self) -> Vec<Piece<'_>> {
        let on_input = |ia3: &&Ia3| ia3.feedforward;
        let each = self.places().map(|(projection, start)| Piece {
            start,
            out: projection.out,
            on_input: projection.ia3.as_ref().filter(on_input),
        });
        let each: Vec<Piece<'_>> = each.collect();
        match each.iter().any(|piece| piece.on_input.is_some()) {
            true => each,
            false => {
                let out = each.iter().map(|piece| piece.out).sum();
                vec![Piece { start: 0, out, on_input: None }]
            }
        }
    }
}
