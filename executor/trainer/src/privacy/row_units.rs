//! Whose the rows of a batch are, and where what the backward pass finds for them goes.

use std::rc::Rc;

use tch::{Kind, Tensor};

use super::ghost::{Left, Term};
use super::gradients::Store;
use crate::error::Result;
use crate::nn::compute::{Compute, copied};

/// Whose the rows of a batch are.
#[derive(Debug, Clone)]
pub struct RowUnits {
    store: Rc<Store>,
    units: Vec<i64>,
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

impl Clone for Place {
    fn clone(&self) -> Self {
        match self {
            Self::From(first) => Self::From(*first),
            Self::Each(units) => Self::Each(units.shallow_clone()),
        }
    }
}

impl RowUnits {
    pub(super) fn new(store: &Rc<Store>, units: Vec<i64>) -> Result<Self> {
        let first = units.first().copied().unwrap_or(0);
        let in_a_row = units.iter().enumerate().all(|(row, unit)| *unit == first + row as i64);
        let place = match in_a_row {
            true => Place::From(first),
            false => Place::Each(Tensor::f_from_slice(&units)?.f_to_device(store.device())?),
        };
        Ok(Self { store: Rc::clone(store), units, place })
    }

    /// How many rows there are.
    pub fn rows(&self) -> i64 {
        self.units.len() as i64
    }

    /// Adds `scale * dy^T x` of each row, (o, i), to its unit's gradient of the parameter that begins at `start`. Rows are equally long and
    /// lie one after the other in `dy_no` and `x_ni`.
    ///
    /// # Errors
    /// As libtorch reports; so does everything here.
    pub fn add(
        &self,
        start: i64,
        (dy_no, x_ni): (&Tensor, &Tensor),
        scale: f64,
        compute: &Compute,
    ) -> Result<()> {
        let (b, o, i) = (self.rows(), dy_no.size()[1], x_ni.size()[1]);
        let of_rows = |flat: &Tensor| flat.f_view([b, -1, flat.size()[1]]);
        if self.store.writing().leaves_out((o, i)) {
            // What they are made of is written over soon.
            let (dy_bto, x_bti) = (of_rows(&copied(dy_no)?)?, of_rows(&copied(x_ni)?)?);
            for row in 0..b {
                let left = Left::Dense(dy_bto.f_get(row)?);
                self.keep(start, row, (left, x_bti.f_get(row)?), scale);
            }
            return Ok(());
        }
        let (dy_bto, x_bti) = (of_rows(dy_no)?, of_rows(x_ni)?);
        if matches!(self.place, Place::From(0)) && b == self.store.units() {
            // Every unit's row is here.
            if let Some(own) = self.store.unwritten(start, o * i)? {
                return compute.outers_over(&own.f_view([b, o, i])?, &dy_bto, &x_bti, scale);
            }
        }
        if self.store.kind() != Kind::Float {
            for row in 0..b {
                let pair = (&dy_bto.f_get(row)?, &x_bti.f_get(row)?);
                self.write(start, row, pair, scale, compute)?;
            }
            return Ok(());
        }
        let mut own = self.store.of_parameter(start, o * i)?;
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

    /// Adds `scale * dy^T x` of some positions of row `row`, (o, i), to its unit's gradient of the parameter that begins at `start`.
    pub fn add_row(
        &self,
        start: i64,
        row: i64,
        (dy_to, x_ti): (&Tensor, &Tensor),
        scale: f64,
        compute: &Compute,
    ) -> Result<()> {
        if self.store.writing().leaves_out((dy_to.size()[1], x_ti.size()[1])) {
            let left = Left::Dense(copied(dy_to)?);
            self.keep(start, row, (left, copied(x_ti)?), scale);
            return Ok(());
        }
        self.write(start, row, (dy_to, x_ti), scale, compute)
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
        (ids, dx_nd): (&Tensor, &Tensor),
    ) -> Result<()> {
        let b = self.rows();
        if self.store.writing().leaves_out((v, d)) {
            let (ids, dx) = (copied(ids)?.f_view([b, -1])?, copied(dx_nd)?.f_view([b, -1, d])?);
            for row in 0..b {
                let left = Left::Chosen(ids.f_get(row)?);
                self.keep(start, row, (left, dx.f_get(row)?), 1.0);
            }
            return Ok(());
        }
        let (ids, dx) = (ids.f_view([b, -1])?, dx_nd.f_view([b, -1, d])?);
        for row in 0..b {
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
        let own = self.store.of_parameter(start, r * width)?;
        let mut columns = own.f_view([-1, r, width])?.f_narrow(2, first, c)?;
        let _ = match &self.place {
            Place::From(unit) => columns.f_narrow(0, *unit, b)?.f_add_(g_brc)?,
            Place::Each(units) => columns.f_index_add_(0, units, g_brc)?,
        };
        Ok(())
    }

    fn keep(&self, start: i64, row: i64, (left, x_ni): (Left, Tensor), scale: f64) {
        let term = Term { unit: self.units[row as usize], left, x_ni, scale };
        self.store.ghosts.borrow_mut().keep(start, term);
    }

    /// The gradient of the unit of row `row` with respect to the `count` numbers from `start` on.
    fn own(&self, start: i64, count: i64, row: i64) -> Result<Tensor> {
        Ok(self.store.of_parameter(start, count)?.f_get(self.units[row as usize])?)
    }

    fn write(
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
}
