//! Gradients of several units at once, as the backward pass of one batch gives them.
//!
//! A row of a batch is a matrix product of its own in the gradient of a linear layer, so the gradients of all rows cost the operations of
//! their sum; only the memory is the units' many times over. Where rows are short that memory costs more than the products, and a unit's
//! gradient is kept as what it is made of ([`super::ghost`]). Exact in every layer, tied embeddings and shared inputs included: nothing is
//! hooked or replayed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use tch::{Device, Kind, TchError, Tensor};

use super::ghost::{Ghosts, Written};
use super::row_units::RowUnits;
use crate::error::Result;
use crate::kernels;

/// Room for the gradients of some units.
#[derive(Debug)]
pub struct UnitGradients(Rc<Store>);

/// What a batch's rows write into.
#[derive(Debug)]
pub(super) struct Store {
    /// For each parameter (u, n), one after another in one buffer. So the matrices of a parameter lie together, which is what libtorch's batched
    /// products ask for. In bf16 each is rounded as it is written: norms and sums are of what was written, so clipping is exact for it.
    flat: Tensor,
    /// How many units there is room for.
    units: i64,
    places: Vec<Range<i64>>,
    now: Cell<Now>,
    /// Parameters whose gradients were written since the last time that all were cleared. Others are zero, whatever is in the room.
    written: RefCell<BTreeSet<i64>>,
    pub(super) ghosts: RefCell<Ghosts>,
}

/// What the room is for at the moment: how many units, and which of their gradients are written down.
#[derive(Debug, Clone, Copy)]
struct Now {
    units: i64,
    writing: Written,
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
        Ok(Self(Rc::new(Store {
            // What is never written is never memory either.
            flat: Tensor::f_empty([units * count], (kind, device))?,
            units,
            places,
            now: Cell::new(Now { units, writing: Written::Always }),
            written: RefCell::default(),
            ghosts: RefCell::default(),
        })))
    }

    /// How many units there is room for.
    pub fn room(&self) -> i64 {
        self.0.units
    }

    /// Clears the room for the gradients of the first `units` units. Those that are not `writing` are kept as what they are made of: in less
    /// memory where units are short, but without numbers that [`UnitGradients::add_squares_to`] could square.
    pub fn clear(&mut self, units: i64, writing: Written) {
        self.0.now.set(Now { units, writing });
        self.0.written.borrow_mut().clear();
        self.0.ghosts.borrow_mut().clear();
    }

    /// Where the gradients of a batch go whose rows belong to these units, in order.
    pub fn rows(&self, units: Vec<i64>) -> Result<RowUnits> {
        RowUnits::new(&self.0, units)
    }

    /// The L2 norm of each part of each of the first `units`: one list a unit.
    pub fn norms(&self, units: i64, parts: &[Range<i64>]) -> Result<Vec<Vec<f64>>> {
        let ghosts = self.0.ghosts.borrow();
        let mut all = vec![Vec::with_capacity(parts.len()); units as usize];
        for part in parts {
            let written = self.0.written_in(units, part)?;
            for (unit, list) in (0..units).zip(&mut all) {
                let mut squares = 0.0;
                for (_, own_un) in &written {
                    squares += kernels::squares(&own_un.f_get(unit)?)?;
                }
                for place in self.0.inside(part) {
                    squares += ghosts.squares(place.start, unit)?;
                }
                list.push(squares.sqrt());
            }
        }
        Ok(all)
    }

    /// Takes unit `unit` out: its gradient becomes zero. For one that is not finite, as 0 times infinity is not 0.
    pub fn leave_out(&mut self, unit: i64) -> Result<()> {
        let all = self.0.all();
        for (_, own_un) in self.0.written_in(self.0.units, &all)? {
            let _ = own_un.f_get(unit)?.f_zero_()?;
        }
        self.0.ghosts.borrow_mut().leave_out(unit);
        Ok(())
    }

    /// Adds the first units to `sum_p`, each part times its factor: one list of factors a unit.
    pub fn add_to(
        &self,
        sum_p: &mut Tensor,
        factors: &[Vec<f64>],
        parts: &[Range<i64>],
    ) -> Result<()> {
        let ghosts = self.0.ghosts.borrow();
        for (number, part) in parts.iter().enumerate() {
            let of_part: Vec<f64> = factors.iter().map(|of_unit| of_unit[number]).collect();
            let sum = |place: &Range<i64>| sum_p.f_narrow(0, place.start, place.end - place.start);
            for (place, own_un) in self.0.written_in(factors.len() as i64, part)? {
                kernels::add_rows(&mut sum(&place)?, &own_un, &of_part)?;
            }
            for place in self.0.inside(part) {
                ghosts.add_to(&sum(place)?, place.start, &of_part)?;
            }
        }
        Ok(())
    }

    /// Adds the squares of the first `units` units, number by number, to `sum_p`.
    pub fn add_squares_to(&self, sum_p: &mut Tensor, units: i64) -> Result<()> {
        for (place, own_un) in self.0.written_in(units, &self.0.all())? {
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
}

impl Store {
    pub(super) fn device(&self) -> Device {
        self.flat.device()
    }

    pub(super) fn kind(&self) -> Kind {
        self.flat.kind()
    }

    pub(super) fn writing(&self) -> Written {
        self.now.get().writing
    }

    /// The gradients of all units with respect to the `count` numbers from `start` on, (u, n), to add to.
    pub(super) fn of_parameter(&self, start: i64, count: i64) -> Result<Tensor> {
        if let Some(mut own) = self.unwritten(start, count)? {
            let _ = own.f_zero_()?;
        }
        self.view(&(start..start + count))
    }

    /// Those of the units that there are, to write over: `None` where something was written.
    pub(super) fn unwritten(&self, start: i64, count: i64) -> Result<Option<Tensor>> {
        let place = start..start + count;
        if !self.places.contains(&place) {
            let text = format!("there is no parameter at {place:?} of the flat gradient");
            return Err(TchError::Shape(text).into());
        }
        if !self.written.borrow_mut().insert(start) {
            return Ok(None);
        }
        Ok(Some(self.view(&place)?.f_narrow(0, 0, self.units())?))
    }

    /// How many units there are.
    pub(super) fn units(&self) -> i64 {
        self.now.get().units
    }

    fn view(&self, place: &Range<i64>) -> Result<Tensor> {
        let count = place.end - place.start;
        let own = self.flat.f_narrow(0, self.units * place.start, self.units * count)?;
        Ok(own.f_view([self.units, count])?)
    }

    fn all(&self) -> Range<i64> {
        0..self.places.last().map_or(0, |place| place.end)
    }

    fn inside<'a>(&'a self, part: &'a Range<i64>) -> impl Iterator<Item = &'a Range<i64>> {
        self.places.iter().filter(|place| part.start <= place.start && place.end <= part.end)
    }

    /// The gradients that were written, of the first units with respect to the parameters in `part`, each with its place.
    fn written_in(&self, units: i64, part: &Range<i64>) -> Result<Vec<(Range<i64>, Tensor)>> {
        let written = self.written.borrow();
        let own = self
            .inside(part)
            .filter(|place| written.contains(&place.start))
            .map(|place| Ok((place.clone(), self.view(place)?.f_narrow(0, 0, units)?)));
        own.collect()
    }
}
