//! Gradients of several units side by side, as the backward pass of one batch gives them.
//!
//! A row of a batch is a matrix product of its own in the gradient of a linear layer, so the gradients of all rows cost the operations of
//! their sum; only the memory is the units' many times over. Exact in every layer, tied embeddings and shared inputs included: nothing is
//! hooked or replayed.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::nn::compute::Compute;

/// Room for the gradients of some units: (u, p) in fp32, each laid out as the parameters are.
#[derive(Debug)]
pub struct UnitGradients {
    gradients_up: Tensor,
}

impl UnitGradients {
    /// Room for `units` units with `parameters` numbers each.
    ///
    /// # Errors
    /// As libtorch reports; so does everything here.
    pub fn new(units: i64, parameters: i64, device: Device) -> Result<Self> {
        let gradients_up = Tensor::f_zeros([units, parameters], (Kind::Float, device))?;
        Ok(Self { gradients_up })
    }

    /// How many units there is room for.
    pub fn room(&self) -> i64 {
        self.gradients_up.size()[0]
    }

    /// Clears the first `units`.
    pub fn clear(&mut self, units: i64) -> Result<()> {
        let _ = self.gradients_up.f_narrow(0, 0, units)?.f_zero_()?;
        Ok(())
    }

    /// Where the gradients of a batch go whose rows belong to these units, in order.
    pub fn rows(&self, units: Vec<i64>) -> Result<RowUnits> {
        let first = units.first().copied().unwrap_or(0);
        let in_a_row = units.iter().enumerate().all(|(row, unit)| *unit == first + row as i64);
        let place = match in_a_row {
            true => Place::From(first),
            false => {
                Place::Each(Tensor::f_from_slice(&units)?.f_to_device(self.gradients_up.device())?)
            }
        };
        let rows = units.len() as i64;
        Ok(RowUnits { gradients_up: self.gradients_up.shallow_clone(), rows, place })
    }

    /// The L2 norm of each part of each of the first `units`: one list a unit.
    pub fn norms(&self, units: i64, parts: &[Range<i64>]) -> Result<Vec<Vec<f64>>> {
        let mut all = vec![Vec::with_capacity(parts.len()); units as usize];
        for part in parts {
            let own = self.part(units, part)?;
            let norms: Vec<f64> = own
                .f_linalg_norm(2, &[1][..], false, Kind::Float)?
                .f_to_kind(Kind::Double)?
                .try_into()?;
            for (list, norm) in all.iter_mut().zip(norms) {
                list.push(norm);
            }
        }
        Ok(all)
    }

    /// Takes unit `unit` out: its gradient becomes zero. For one that is not finite, as 0 times infinity is not 0.
    pub fn leave_out(&mut self, unit: i64) -> Result<()> {
        let _ = self.gradients_up.f_get(unit)?.f_zero_()?;
        Ok(())
    }

    /// Adds the first units to `sum_p`, each part times its factor: one list of factors a unit.
    pub fn add_to(
        &self,
        sum_p: &mut Tensor,
        factors: &[Vec<f64>],
        parts: &[Range<i64>],
    ) -> Result<()> {
        for (number, part) in parts.iter().enumerate() {
            let of_part: Vec<f32> = factors.iter().map(|of_unit| of_unit[number] as f32).collect();
            let of_part = Tensor::f_from_slice(&of_part)?.f_to_device(sum_p.device())?;
            let own_pu = self.part(factors.len() as i64, part)?.f_transpose(0, 1)?;
            let mut sum = sum_p.f_narrow(0, part.start, part.end - part.start)?;
            let _ = sum.f_addmv_(&own_pu, &of_part)?;
        }
        Ok(())
    }

    fn part(&self, units: i64, part: &Range<i64>) -> Result<Tensor> {
        Ok(self.gradients_up.f_narrow(0, 0, units)?.f_narrow(
            1,
            part.start,
            part.end - part.start,
        )?)
    }
}

/// Whose the rows of a batch are.
#[derive(Debug)]
pub struct RowUnits {
    gradients_up: Tensor,
    rows: i64,
    place: Place,
}

/// The unit of each row.
#[derive(Debug)]
enum Place {
    /// One after the other from this one.
    From(i64),
    /// As listed: (b) in int64.
    Each(Tensor),
}

impl Clone for RowUnits {
    fn clone(&self) -> Self {
        let place = match &self.place {
            Place::From(first) => Place::From(*first),
            Place::Each(units) => Place::Each(units.shallow_clone()),
        };
        Self { gradients_up: self.gradients_up.shallow_clone(), rows: self.rows, place }
    }
}

impl RowUnits {
    /// Adds `scale * dy^T x` of each row, (o, i), to its unit's gradient of the parameter that begins at `start`. Rows are equally long and
    /// lie one after the other in `dy_no` and `x_ni`.
    pub fn add(
        &self,
        start: i64,
        (dy_no, x_ni): (&Tensor, &Tensor),
        scale: f64,
        compute: &Compute,
    ) -> Result<()> {
        let (b, o, i) = (self.rows, dy_no.size()[1], x_ni.size()[1]);
        let of_rows = |flat: &Tensor| flat.f_view([b, -1, flat.size()[1]]);
        let (dy_bto, x_bti) = (of_rows(dy_no)?, of_rows(x_ni)?);
        let mut own = self.gradients_up.f_narrow(1, start, o * i)?;
        match &self.place {
            Place::From(first) => {
                let mut own = own.f_narrow(0, *first, b)?.f_view([b, o, i])?;
                compute.outers_onto(&mut own, &dy_bto, &x_bti, scale)
            }
            Place::Each(units) => {
                let mut each = Tensor::f_zeros([b, o, i], (Kind::Float, own.device()))?;
                compute.outers_onto(&mut each, &dy_bto, &x_bti, scale)?;
                let _ = own.f_index_add_(0, units, &each.f_view([b, o * i])?)?;
                Ok(())
            }
        }
    }
}
