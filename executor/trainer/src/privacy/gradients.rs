//! Gradients of several units side by side, as the backward pass of one batch gives them.
//!
//! A row of a batch is a matrix product of its own in the gradient of a linear layer, so the gradients of all rows cost the operations of
//! their sum; only the memory is the units' many times over. Exact in every layer, tied embeddings and shared inputs included: nothing is
//! hooked or replayed.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::kernels;
use crate::nn::compute::Compute;

/// Room for the gradients of some units: for each parameter (u, n), one after another in one buffer. So the matrices of a parameter
/// lie together, which is what libtorch's batched products ask for. In bf16 each is rounded as it is written: norms and sums are of what was
/// written, so clipping is exact for it.
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
    pub fn new(
        units: i64,
        places: Vec<Range<i64>>,
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let count = places.last().map_or(0, |place| place.end);
        let flat = Tensor::f_zeros([units * count], (kind, device))?;
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
            let of_part = self.of_part(units, part)?;
            for (unit, list) in (0..units).zip(&mut all) {
                let mut squares = 0.0;
                for (_, own_un) in &of_part {
                    squares += kernels::squares(&own_un.f_get(unit)?)?;
                }
                list.push(squares.sqrt());
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
            let of_part: Vec<f64> = factors.iter().map(|of_unit| of_unit[number]).collect();
            for (place, own_un) in self.of_part(factors.len() as i64, part)? {
                let mut sum = sum_p.f_narrow(0, place.start, place.end - place.start)?;
                kernels::add_rows(&mut sum, &own_un, &of_part)?;
            }
        }
        Ok(())
    }

    /// Adds the squares of the first `units` units, number by number, to `sum_p`.
    pub fn add_squares_to(&self, sum_p: &mut Tensor, units: i64) -> Result<()> {
        let all = 0..self.places.last().map_or(0, |place| place.end);
        for (place, own_un) in self.of_part(units, &all)? {
            let mut sum = sum_p.f_narrow(0, place.start, place.end - place.start)?;
            let squares = own_un.f_to_kind(Kind::Float)?.f_square()?.f_sum_dim_intlist(
                &[0_i64][..],
                false,
                Kind::Float,
            )?;
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
    /// How many rows there are.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// The gradient of the unit of row `row` with respect to the `count` numbers from `start` on.
    fn own(&self, start: i64, count: i64, row: i64) -> Result<Tensor> {
        let unit = match &self.place {
            Place::From(first) => first + row,
            Place::Each(units) => units.f_int64_value(&[row])?,
        };
        Ok(of_parameter(&self.flat, self.units, &(start..start + count))?.f_get(unit)?)
    }

    /// Adds `scale * dy^T x` of some positions of row `row`, (o, i), to its unit's gradient of the parameter that begins at `start`.
    pub fn add_row(
        &self,
        start: i64,
        row: i64,
        (dy_to, x_ti): (&Tensor, &Tensor),
        scale: f64,
        compute: &Compute,
    ) -> Result<()> {
        let (o, i) = (dy_to.size()[1], x_ti.size()[1]);
        let mut own = self.own(start, o * i, row)?.f_view([o, i])?;
        if own.kind() == Kind::Float {
            return compute.outer_onto(&mut own, dy_to, x_ti, scale);
        }
        let dy_ot = match scale {
            1.0 => dy_to.f_transpose(0, 1)?,
            _ => dy_to.f_mul_scalar(scale)?.f_transpose(0, 1)?,
        };
        compute.product_onto(&mut own, &dy_ot, x_ti)
    }

    /// Adds row by row `values` (b, n), to the gradients of their units of the parameter that begins at `start`.
    pub fn add_values(&self, start: i64, values: &Tensor) -> Result<()> {
        let (b, n) = values.size2()?;
        for row in 0..b {
            let _ = self.own(start, n, row)?.f_add_(&values.f_get(row)?)?;
        }
        Ok(())
    }

    /// Adds the gradient `dx_nd` of the entries that `ids` (n) chose to those of their units, of the embedding that begins at `start` and has
    /// the shape (v, d). Rows are equally long.
    pub fn add_entries(
        &self,
        start: i64,
        (v, d): (i64, i64),
        ids: &Tensor,
        dx_nd: &Tensor,
    ) -> Result<()> {
        let (ids, dx) = (ids.f_view([self.rows, -1])?, dx_nd.f_view([self.rows, -1, d])?);
        for row in 0..self.rows {
            let own = self.own(start, v * d, row)?;
            let dx = dx.f_get(row)?.f_to_kind(own.kind())?;
            let _ = own.f_view([v, d])?.f_index_add_(0, &ids.f_get(row)?, &dx)?;
        }
        Ok(())
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
        if self.flat.kind() != Kind::Float {
            for row in 0..b {
                self.add_row(
                    start,
                    row,
                    (&dy_bto.f_get(row)?, &x_bti.f_get(row)?),
                    scale,
                    compute,
                )?;
            }
            return Ok(());
        }
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
