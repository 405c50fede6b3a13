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
    /// The values in the format that is computed in, in the same places, where that is another and all of them are computed with as they are.
    copy: Option<Tensor>,
    /// Parameters that are one tensor in a layer, where any are.
    blocks: Option<Vec<Range<i64>>>,
    shapes: Vec<(String, Vec<i64>)>,
}

impl Parameter {
    /// Another hold on the same memory.
    #[must_use]
    pub fn share(&self) -> Self {
        let Self { value, gradient, start } = self;
        Self { value: value.shallow_clone(), gradient: gradient.shallow_clone(), start: *start }
    }
}

impl Parameters {
    /// Zeros for parameters of these names and shapes.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn zeros(shapes: Vec<(String, Vec<i64>)>, device: Device) -> Result<Self> {
        let count: i64 = shapes.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
        let zeros = || Tensor::f_zeros([count], (Kind::Float, device));
        Ok(Self { values: zeros()?, gradients: zeros()?, copy: None, blocks: None, shapes })
    }

    /// The same with a copy of the values in `kind`, where that is not their own format. Updates keep it up to date.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn computed_in(mut self, kind: Kind) -> Result<Self> {
        self.copy = match kind {
            Kind::Float => None,
            _ => Some(self.values.f_to_kind(kind)?),
        };
        Ok(self)
    }

    /// The values as they are computed with.
    pub fn computed(&self) -> &Tensor {
        self.copy.as_ref().unwrap_or(&self.values)
    }

    /// The copy for an update to write.
    pub(crate) fn copy_mut(&mut self) -> Option<&mut Tensor> {
        self.copy.as_mut()
    }

    /// Brings the copy up to date, after something else than an update has changed the values.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn refresh(&self) -> Result<()> {
        if let Some(copy) = &self.copy {
            copy.shallow_clone().f_copy_(&self.values)?;
        }
        Ok(())
    }

    /// Where the tensors lie that layers compute with: each is a parameter, or several in a row, as projections of one input are.
    pub fn blocks(&self) -> Vec<Range<i64>> {
        self.blocks.clone().unwrap_or_else(|| self.places().collect())
    }

    /// The same with layers that compute with these tensors, which must be all of the parameters in a row.
    pub(crate) fn set_blocks(&mut self, blocks: Vec<Range<i64>>) {
        self.blocks = Some(blocks);
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
        self.named_in(&self.values)
    }

    /// What lies in `flat`, laid out as the values are, under the names of the parameters.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn named_in(&self, flat: &Tensor) -> Result<Vec<(String, Tensor)>> {
        let names = self.shapes.iter().map(|(name, _)| name.clone());
        Ok(names.zip(self.views(flat)?).collect())
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
            copy: self.copy.as_ref().map(Tensor::shallow_clone),
            blocks: self.blocks.clone(),
            shapes: self.shapes.clone(),
        }
    }
}
