//! Trainable parameters as views of one flat fp32 buffer, and their gradients of another.
//!
//! The optimizer, the norm of all gradients and their clearing are then one operation each, whatever the number of parameters.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// One parameter: its value and the gradient that is added to it, both fp32 and of one shape.
#[derive(Debug)]
pub struct Parameter {
    /// The value.
    pub value: Tensor,
    /// The sum of gradients since the last update.
    pub gradient: Tensor,
    /// Its first place in the flat buffers.
    pub start: i64,
}

/// All parameters of a run.
#[derive(Debug)]
pub struct Parameters {
    /// The values, one after another.
    pub values: Tensor,
    /// The gradients, in the same places.
    pub gradients: Tensor,
    shapes: Vec<(String, Vec<i64>)>,
}

impl Parameters {
    /// Zeros for parameters of these names and shapes.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn zeros(shapes: Vec<(String, Vec<i64>)>, device: Device) -> Result<Self> {
        let count: i64 = shapes.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
        let zeros = || Tensor::f_zeros([count], (Kind::Float, device));
        Ok(Self { values: zeros()?, gradients: zeros()?, shapes })
    }

    /// The parameters, in the order of their making.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn each(&self) -> Result<Vec<Parameter>> {
        let values = self.views(&self.values)?.into_iter();
        let pairs = values.zip(self.views(&self.gradients)?);
        let places = pairs.zip(self.places());
        Ok(places
            .map(|((value, gradient), place)| Parameter { value, gradient, start: place.start })
            .collect())
    }

    /// The values with their names.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn named(&self) -> Result<Vec<(String, Tensor)>> {
        let names = self.shapes.iter().map(|(name, _)| name.clone());
        Ok(names.zip(self.views(&self.values)?).collect())
    }

    /// What lies in `flat`, laid out as the values are, as tensors of the parameters' shapes.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn views(&self, flat: &Tensor) -> Result<Vec<Tensor>> {
        let shapes = self.shapes.iter().map(|(_, shape)| shape);
        shapes
            .zip(self.places())
            .map(|(shape, place)| {
                let flat = flat.f_narrow(0, place.start, place.end - place.start)?;
                Ok(flat.f_view(shape.as_slice())?)
            })
            .collect()
    }

    /// How many numbers there are in all.
    pub fn count(&self) -> i64 {
        self.places().last().map_or(0, |place| place.end)
    }

    /// Where each layer's parameters lie in the flat buffers: those in a row whose names differ only in their last two parts, as
    /// `lora_A.weight` and `lora_B.weight` of one module do.
    pub fn layers(&self) -> Vec<Range<i64>> {
        let mut layers: Vec<(&str, Range<i64>)> = Vec::new();
        for ((name, _), place) in self.shapes.iter().zip(self.places()) {
            let module = name.rsplitn(3, '.').nth(2).unwrap_or(name);
            match layers.last_mut() {
                Some((same, layer)) if *same == module => layer.end = place.end,
                _ => layers.push((module, place)),
            }
        }
        layers.into_iter().map(|(_, layer)| layer).collect()
    }

    /// Where each parameter lies in the flat buffers, in order.
    pub fn places(&self) -> impl Iterator<Item = Range<i64>> {
        self.shapes.iter().scan(0, |next, (_, shape)| {
            let start = *next;
            *next += shape.iter().product::<i64>();
            Some(start..*next)
        })
    }

    /// Clears the gradients.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn clear_gradients(&mut self) -> Result<()> {
        let _ = self.gradients.f_zero_()?;
        Ok(())
    }

    /// Another hold on the same memory.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            values: self.values.shallow_clone(),
            gradients: self.gradients.shallow_clone(),
            shapes: self.shapes.clone(),
        }
    }
}
