//! Trainable parameters as views of one flat fp32 buffer, and their gradients of another.
//!
//! The optimizer, the norm of all gradients and their clearing are then one operation each, whatever the number of parameters.

use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// One parameter: its value and the gradient that is added to it, both fp32 and of one shape.
#[derive(Debug)]
pub struct Parameter {
    /// The value.
    pub value: Tensor,
    /// The sum of gradients since the last update.
    pub gradient: Tensor,
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
        Ok(pairs.map(|(value, gradient)| Parameter { value, gradient }).collect())
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
        let mut start = 0;
        self.shapes
            .iter()
            .map(|(_, shape)| {
                let count = shape.iter().product();
                let view = flat.f_narrow(0, start, count)?.f_view(shape.as_slice())?;
                start += count;
                Ok(view)
            })
            .collect()
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
