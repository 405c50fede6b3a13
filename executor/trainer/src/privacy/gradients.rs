//! Gradients of several units side by side, as the backward pass of one batch gives them.
//!
//! A row of a batch is a matrix product of its own in the gradient of a linear layer, so the gradients of all rows cost the operations of
//! their sum; only the memory is the units' many times over. Exact in every layer, tied embeddings and shared inputs included: nothing is
//! hooked or replayed.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::nn::compute::Compute;

/// Room for the gradients of some units: for each parameter (u, n) in fp32, one after another in one buffer. So the matrices of a parameter
/// lie together, which is what libtorch's batched products ask for.
#[derive(Debug)]
pub struct UnitGradients {
    flat: Tensor,
    units: i64,
    places: Vec<Range<i64>>,
}

impl UnitGradients {
    /// Room for `units` units of parameters at these places of the flat gradient, in order.
    ///
    /// # Errors
    /// As libtorch reports; so does everything here.
    pub fn new(units: i64, places: Vec<Range<i64>>, device: Device) -> Result<Self> {
        let count = places.last().map_or(0, |place| place.end);
        let flat = Tensor::f_zeros([units * count], (Kind::Float, device))?;
        Ok(Self { flat, units, places })
    }

    /// How many units there is room for.
    pub fn room(&self) -> i64 {
        self.units
    }

    /// Clears the first `units`.
    pub fn clear(&mut self, units: i64) -> Result<()> {
        if units == self.units {
            let _ = self.flat.f_zero_()?;
            return Ok(());
        }
        for place in &self.places {
            let _ =
                of_parameter(&self.flat, self.units, place)?.f_narrow(0, 0, units)?.f_zero_()?;
        }
        Ok(())
    }

    /// Where the gradients of a batch go whose rows belong to these units, in order.
    pub fn rows(&self, units: Vec<i64>) -> Result<RowUnits> {
        let first = units.first().copied().unwrap_or(0);
        let in_a_row = units.iter().enumerate().all(|(row, unit)| *unit == first + row as i64);
        let place = match in_a_row {
            true => Place::From(first),
            false => Place::Each(Tensor::f_from_slice(&units)?.f_to_device(self.flat.device())?),
        };
        let rows = units.len() as i64;
        Ok(RowUnits { flat: self.flat.shallow_clone(), units: self.units, rows, place })
    }

    /// The L2 norm of each part of each of the first `units`: one list a unit.
    pub fn norms(&self, units: i64, parts: &[Range<i64>]) -> Result<Vec<Vec<f64>>> {
        let mut all = vec![Vec::with_capacity(parts.len()); units as usize];
        for part in parts {
            let mut squares = Tensor::f_zeros([units], (Kind::Double, self.flat.device()))?;
            for (_, own_un) in self.of_part(units, part)? {
                let norms = own_un.f_linalg_norm(2, &[1][..], false, Kind::Float)?;
                squares = squares.f_add_(&norms.f_to_kind(Kind::Double)?.f_square()?)?;
            }
            let norms: Vec<f64> = squares.f_sqrt()?.try_into()?;
            for (list, norm) in all.iter_mut().zip(norms) {
                list.push(norm);
            }
        }
        Ok(all)
    }

    /// Takes unit `unit` out: its gradient becomes zero. For one that is not finite, as 0 times infinity is not 0.
    pub fn leave_out(&mut self, unit: i64) -> Result<()> {
        for place in &self.places {
            let _ = of_parameter(&self.flat, self.units, place)?.f_get(unit)?.f_zero_()?;
        }
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
            for (place, own_un) in self.of_part(factors.len() as i64, part)? {
                let mut sum = sum_p.f_narrow(0, place.start, place.end - place.start)?;
                let _ = sum.f_addmv_(&own_un.f_transpose(0, 1)?, &of_part)?;
            }
        }
        Ok(())
    }

    /// Adds the squares of the first `units` units, number by number, to `sum_p`.
    pub fn add_squares_to(&self, sum_p: &mut Tensor, units: i64) -> Result<()> {
        let all = 0..self.places.last().map_or(0, |place| place.end);
        for (place, own_un) in self.of_part(units, &all)? {
            let mut sum = sum_p.f_narrow(0, place.start, place.end - place.start)?;
            let squares = own_un.f_square()?.f_sum_dim_intlist(&[0_i64][..], false, Kind::Float)?;
            let _ = sum.f_add_(&squares)?;
        }
        Ok(())
    }

    /// The gradients of the first units with respect to the parameters in `part`, each with its place.
    fn of_part(&self, units: i64, part: &Range<i64>) -> Result<Vec<(Range<i64>, Tensor)>> {
        let inside = |place: &&Range<i64>| part.start <= place.start && place.end <= part.end;
        let own = self.places.iter().filter(inside).map(|place| {
            let own = of_parameter(&self.flat, self.units, place)?.f_narrow(0, 0, units)?;
            Ok((place.clone(), own))
        });
        own.collect()
    }
}

/// The gradients of all units with respect to the parameter at `place`, (u, n).
fn of_parameter(flat: &Tensor, units: i64, place: &Range<i64>) -> Result<Tensor> {
    let count = place.end - place.start;
    Ok(flat.f_narrow(0, units * place.start, units * count)?.f_view([units, count])?)
}

/// Whose the rows of a batch are.
#[derive(Debug)]
pub struct RowUnits {
    flat: Tensor,
    units: i64,
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
        Self { flat: self.flat.shallow_clone(), units: self.units, rows: self.rows, place }
    }
}

impl RowUnits {
    /// Rows of the batch.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// That of one row alone.
    pub fn of_row(&self, row: i64) -> Result<Self> {
        let place = match &self.place {
            Place::From(first) => Place::From(first + row),
            Place::Each(units) => Place::From(units.f_int64_value(&[row])?),
        };
        Ok(Self { flat: self.flat.shallow_clone(), units: self.units, rows: 1, place })
    }

    /// Adds `g_brc` of each row of the batch, in fp32, to its unit's gradient of the parameter that begins at `start`, seen as (r, `width`): to
    /// the columns from `first` on.
    pub fn add_columns(
        &self,
        start: i64,
        (first, width): (i64, i64),
        g_brc: &Tensor,
    ) -> Result<()> {
        let (b, r, c) = g_brc.size3()?;
        let own = of_parameter(&self.flat, self.units, &(start..start + r * width))?;
        let mut columns = own.f_view([self.units, r, width])?.f_narrow(2, first, c)?;
        let _ = match &self.place {
            Place::From(unit) => columns.f_narrow(0, *unit, b)?.f_add_(g_brc)?,
            Place::Each(units) => columns.f_index_add_(0, units, g_brc)?,
        };
        Ok(())
    }

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
        let mut own = of_parameter(&self.flat, self.units, &(start..start + o * i))?;
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
