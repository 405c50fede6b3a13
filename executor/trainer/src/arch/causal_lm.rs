//! A causal language model, mostly with an adapter: losses, gradients and logits of batches.
//!
//! The base is frozen, or all of it is trained. Forward and backward pass are written out, block by block: what a block keeps is
//! freed as soon as its backward pass has used it. The model is a value owned by one thread.

use tch::{Device, Kind, Tensor};

use crate::arch::config::ModelConfig;
use crate::arch::llama::{KeptBlock, Llama};
use crate::data::Sequences;
use crate::device;
use crate::error::{Result, TrainerError};
use crate::nn::compute::Compute;
use crate::nn::context::Context;
use crate::nn::linear::Projection;
use crate::nn::rope::Rotation;
use crate::objective::cross_entropy::{
    LossStats, LossSums, Targets, TrainedHead, linear_cross_entropy,
};
use crate::optim::parameters::Parameters;
use crate::peft::AdapterSettings;
use crate::peft::full::Places;
use crate::peft::lora::{Lora, LoraSettings, Pass, check_targets};
use crate::privacy::gradients::RowUnits;
use crate::rng::Rng;
use crate::weights::{WeightSource, require};

/// Rows of tokens on the model's device. What decides over shapes and kernels is known on the processor: nothing asks the device for it.
#[derive(Debug)]
pub struct ModelBatch {
    /// Token ids, (b, t) in int64.
    pub input_ids: Tensor,
    /// Positions, from 0 in each sequence, (b, t) or, where all rows are alike, (1, t) in int64.
    pub position_ids: Tensor,
    /// The highest position, and one.
    pub positions: i64,
    /// What is to be predicted.
    pub targets: Targets,
    /// Where sequences lie in the rows.
    pub sequences: Sequences,
    /// Their bounds, in int32.
    pub bounds: Tensor,
}

impl ModelBatch {
    /// A batch of tensors on the processor, brought to `device`. `labels_bt` are aligned with `input_ids` as in transformers: -100 asks for no
    /// loss, and the loss shifts them.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(
        input_ids: &Tensor,
        labels_bt: &Tensor,
        position_ids: &Tensor,
        sequences: Sequences,
        device: Device,
    ) -> Result<Self> {
        let positions = match position_ids.numel() {
            0 => 0,
            _ => position_ids.f_max()?.f_int64_value(&[])? + 1,
        };
        Ok(Self {
            input_ids: device::send(input_ids, device)?,
            position_ids: device::send(position_ids, device)?,
            positions,
            targets: Targets::of(labels_bt, device)?,
            bounds: device::send(&Tensor::f_from_slice(sequences.bounds())?, device)?,
            sequences,
        })
    }
}

/// How gradients are computed.
#[derive(Debug, Clone, Default)]
pub struct StepOptions {
    /// Whether each block's activations are computed again in the backward pass.
    pub gradient_checkpointing: bool,
    /// The stream of this micro-batch's dropout; `None` drops nothing.
    pub dropout: Option<Rng>,
    /// Whose each row is: its gradient, times the row's weight, is added to its unit's. `None` sums over the rows.
    pub units: Option<(RowUnits, Vec<f32>)>,
}

/// What a loss is computed of.
#[derive(Debug)]
pub struct AtHead<'a> {
    /// Hidden states after the last norm, (n, d).
    pub hidden_nd: &'a Tensor,
    /// The output head, (v, d).
    pub head_vd: &'a Tensor,
    /// The head as a parameter with where its gradient goes, where it is trained.
    pub trained: Option<TrainedHead<'a>>,
    /// How the model computes.
    pub compute: &'a Compute,
}

/// A loss of hidden states: its figures, and its gradient with respect to them; none where there is no target.
pub type Objective<'a> = dyn FnMut(&AtHead<'_>) -> Result<(LossSums, Option<Tensor>)> + 'a;

/// The model.
#[derive(Debug)]
pub struct CausalLm {
    config: ModelConfig,
    body: Llama,
    compute: Compute,
    parameters: Parameters,
    adapter_enabled: bool,
}

impl CausalLm {
    /// Loads the frozen base in `kind` onto `device`.
    ///
    /// # Errors
    /// A user error where weights and configuration do not fit.
    pub fn load(
        source: &dyn WeightSource,
        config: &ModelConfig,
        device: Device,
        kind: Kind,
    ) -> Result<Self> {
        let body = Llama::load(source, config, device, kind)?;
        let (config, compute) = (config.clone(), Compute::new(device, kind));
        let parameters = Parameters::zeros(Vec::new(), device)?;
        Ok(Self { config, body, compute, parameters, adapter_enabled: true })
    }

    /// Makes the parameters of a method, as fresh ones begin.
    ///
    /// # Errors
    /// A user error where the settings do not fit the model.
    pub fn attach(&mut self, settings: &AdapterSettings, rng: &mut Rng) -> Result<()> {
        match settings {
            AdapterSettings::Lora(settings) => self.attach_lora(settings, rng),
            AdapterSettings::Full => self.train_all(),
        }
    }

    /// Makes every weight a parameter, with the value that it has.
    fn train_all(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let tied = self.config.tie_word_embeddings;
        let weights = self.body.weights(tied)?;
        let shapes = weights.iter().map(|(name, weight)| (name.clone(), weight.size())).collect();
        let parameters = Parameters::zeros(shapes, self.compute.device)?;
        for ((_, mut master), (_, weight)) in parameters.named()?.into_iter().zip(weights) {
            master.f_copy_(&weight)?;
        }
        self.parameters = parameters.computed_in(self.compute.kind)?;
        let mut places = Places::of(&self.parameters);
        self.body.train(tied, &mut places)?;
        let blocks = places.taken();
        self.parameters.set_blocks(blocks);
        Ok(())
    }

    /// Gives every parameter the value that it has in `source`, in the precision that it has there: the model may compute in less.
    ///
    /// # Errors
    /// A user error naming what is missing or of another shape.
    pub fn load_masters(&mut self, source: &dyn WeightSource) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (name, mut master) in self.parameters.named()? {
            require(source, &name, &mut master)?;
        }
        self.parameters.refresh()
    }

    /// Puts a fresh `LoRA` on the layers that `settings` names.
    ///
    /// # Errors
    /// A user error where a name matches nothing.
    pub fn attach_lora(&mut self, settings: &LoraSettings, rng: &mut Rng) -> Result<()> {
        let paths: Vec<&str> =
            self.projections().map(|(_, projection)| projection.name.as_str()).collect();
        check_targets(settings, &paths)?;
        let shapes = self
            .projections()
            .filter(|(_, projection)| settings.targets(&projection.name))
            .flat_map(|(inputs, projection)| {
                let path = format!("base_model.model.{}", projection.name);
                [
                    (format!("{path}.lora_A.weight"), vec![settings.rank, inputs]),
                    (format!("{path}.lora_B.weight"), vec![projection.out, settings.rank]),
                ]
            })
            .collect();
        self.parameters = Parameters::zeros(shapes, self.compute.device)?;
        let mut each = self.parameters.each()?.into_iter();
        let linears = self.body.blocks.iter_mut().flat_map(|block| block.linears_mut());
        let adapted = linears
            .flat_map(|linear| &mut linear.projections)
            .filter(|projection| settings.targets(&projection.name));
        for (number, projection) in adapted.enumerate() {
            if let (Some(a), Some(b)) = (each.next(), each.next()) {
                projection.lora = Some(Lora::new(a, b, settings, number as u64, rng)?);
            }
        }
        Ok(())
    }

    /// The parameters in training, in a fixed order: an adapter's under PEFT's names, a whole model's under those of transformers.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The projections with their inputs, in PEFT's order.
    fn projections(&self) -> impl Iterator<Item = (i64, &Projection)> {
        let linears = self.body.blocks.iter().flat_map(|block| block.linears());
        linears.flat_map(|linear| {
            linear.projections.iter().map(|projection| (linear.inputs(), projection))
        })
    }

    /// The last parts of the paths of the adapted layers, sorted: PEFT's `target_modules`.
    pub fn target_suffixes(&self) -> Vec<String> {
        let adapted = self.projections().filter(|(_, projection)| projection.lora.is_some());
        let mut names: Vec<String> = adapted
            .filter_map(|(_, projection)| projection.name.rsplit('.').next())
            .map(ToString::to_string)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Copies an adapter's values in; the names must be just those of [`CausalLm::parameters`].
    ///
    /// # Errors
    /// A checkpoint error naming what is missing, unknown or of another shape.
    pub fn load_adapter(&mut self, source: &dyn WeightSource) -> Result<()> {
        let parameters = self.parameters.named()?;
        for (name, mut parameter) in
            parameters.iter().map(|(name, tensor)| (name, tensor.shallow_clone()))
        {
            let value = source.tensor(name)?.ok_or_else(|| {
                TrainerError::Checkpoint(format!("the adapter has no tensor '{name}'"))
            })?;
            if value.size() != parameter.size() {
                let (seen, want) = (value.size(), parameter.size());
                return Err(TrainerError::Checkpoint(format!(
                    "tensor '{name}' has shape {seen:?}, not {want:?}"
                )));
            }
            parameter.f_copy_(&value.f_to_device(self.compute.device)?)?;
        }
        self.parameters.refresh()?;
        match source
            .names()
            .into_iter()
            .find(|name| !parameters.iter().any(|(known, _)| known == name))
        {
            Some(name) => {
                Err(TrainerError::Checkpoint(format!("the adapter has an unknown tensor '{name}'")))
            }
            None => Ok(()),
        }
    }

    /// Whether the adapter takes part from now on; without it the model is its base.
    pub fn set_adapter_enabled(&mut self, enabled: bool) {
        self.adapter_enabled = enabled;
    }

    /// Computes with plain tensor operations from now on: the slow path that the kernels are held to.
    pub fn set_plain(&mut self) {
        self.compute = self.compute.plain();
    }

    /// The loss of a batch.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn evaluate(&self, batch: &ModelBatch) -> Result<LossStats> {
        let hidden = self.hidden(batch)?;
        linear_cross_entropy(&self.at_head(&hidden), &batch.targets, None)?.0.read()
    }

    /// Adds the gradient of `scale * loss_sum` to the parameters' gradients and gives the loss.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn accumulate_gradients(
        &self,
        batch: &ModelBatch,
        scale: f64,
        options: &StepOptions,
    ) -> Result<LossSums> {
        self.accumulate_with(batch, options, &mut |hidden| {
            linear_cross_entropy(hidden, &batch.targets, Some(scale))
        })
    }

    /// The same for another loss: `objective` gives it for the hidden states after the last norm, with its gradient there.
    ///
    /// # Errors
    /// As libtorch reports, and what `objective` does.
    pub fn accumulate_with(
        &self,
        batch: &ModelBatch,
        options: &StepOptions,
        objective: &mut Objective<'_>,
    ) -> Result<LossSums> {
        let _no_grad = tch::no_grad_guard();
        let units = options.units.as_ref();
        let pass = Pass {
            adapter: self.adapter_enabled,
            dropout: options.dropout.clone(),
            units: units.map(|(units, _)| units.clone()),
        };
        let (mut x_nd, rotation) = self.embed(batch)?;
        let context = self.context(batch, &rotation, &pass);
        let mut kept = Vec::with_capacity(self.body.blocks.len());
        for block in &self.body.blocks {
            if options.gradient_checkpointing {
                kept.push(Activations::Input(x_nd.shallow_clone()));
                x_nd = block.forward(x_nd, &context)?.0;
            } else {
                let (next, of_block) = block.forward(x_nd, &context)?;
                kept.push(Activations::Whole(Box::new(of_block)));
                x_nd = next;
            }
        }
        let (hidden, rstd) = self.body.norm.forward(&x_nd, self.compute.kernels)?;
        let weights = units.map(|(_, weights)| weights.as_slice());
        let trained = self.body.trained.as_ref();
        let trained = trained.map(|(_, parameter)| TrainedHead { parameter, pass: &pass, weights });
        let (sums, dhidden) = objective(&AtHead { trained, ..self.at_head(&hidden) })?;
        drop(hidden);
        let Some(mut dhidden) = dhidden else { return Ok(sums) };
        if let Some((_, weights)) = units {
            // Everything from here on is linear in it, row by row.
            let weights = device::send(&Tensor::f_from_slice(weights)?, self.compute.device)?;
            let rows = dhidden.f_view([weights.size()[0], context.length(), -1])?;
            let _ = rows
                .shallow_clone()
                .f_mul_(&weights.f_view([-1, 1, 1])?.f_to_kind(self.compute.kind)?)?;
            dhidden = rows.f_view_as(&dhidden)?;
        }
        let mut gradient = dhidden.f_zeros_like()?;
        let (norm, kernels) = (&self.body.norm, self.compute.kernels);
        norm.add_gradient(&dhidden, &x_nd, &rstd, kernels, &pass)?;
        norm.backward(&dhidden, &x_nd, &rstd, &mut gradient, kernels)?;
        drop((dhidden, x_nd));
        for block in self.body.blocks.iter().rev() {
            let of_block = match kept.pop() {
                Some(Activations::Whole(of_block)) => *of_block,
                Some(Activations::Input(x)) => block.forward(x, &context)?.1,
                None => break,
            };
            // The first block's input is the embedding: nothing below it wants a gradient where that is frozen.
            let wanted = !kept.is_empty() || self.body.trained.is_some();
            match block.backward(gradient, of_block, &context, wanted)? {
                Some(below) => gradient = below,
                None => return Ok(sums),
            }
        }
        if let Some((embedding, _)) = &self.body.trained {
            pass.add_embedding(embedding, &batch.input_ids.f_reshape([-1])?, &gradient)?;
        }
        Ok(sums)
    }

    /// Logits (b, t, v) in fp32: for parity tests and self-checks, never for training.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn logits(&self, batch: &ModelBatch) -> Result<Tensor> {
        let hidden = self.hidden(batch)?;
        let (b, t) = batch.input_ids.size2()?;
        let logits = self.compute.project(&hidden, &self.body.head_vd)?;
        Ok(logits.f_view([b, t, -1])?.f_to_kind(Kind::Float)?)
    }

    /// Parameters of the base that are frozen.
    pub fn parameter_count(&self) -> i64 {
        self.body.parameters
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device.
    pub fn device(&self) -> Device {
        self.compute.device
    }

    /// The format that is computed in.
    pub fn kind(&self) -> Kind {
        self.compute.kind
    }

    /// Embedded tokens (n, d) and the rotation of their positions.
    fn embed(&self, batch: &ModelBatch) -> Result<(Tensor, Rotation)> {
        let ids = batch.input_ids.f_reshape([-1])?;
        let x_nd = Tensor::f_embedding(&self.body.embed_vd, &ids, -1, false, false)?;
        let rotation =
            self.config.rope.tables(&batch.position_ids, batch.positions, self.compute.kind)?;
        Ok((x_nd, rotation))
    }

    fn context<'a>(
        &'a self,
        batch: &'a ModelBatch,
        rotation: &'a Rotation,
        pass: &'a Pass,
    ) -> Context<'a> {
        let (sequences, bounds) = (&batch.sequences, &batch.bounds);
        Context { compute: &self.compute, rotation, sequences, bounds, pass }
    }

    /// Hidden states with what is needed to compute logits of them.
    pub fn at_head<'a>(&'a self, hidden_nd: &'a Tensor) -> AtHead<'a> {
        let (head_vd, compute) = (&self.body.head_vd, &self.compute);
        AtHead { hidden_nd, head_vd, trained: None, compute }
    }

    /// Hidden states (n, d) after the last norm, without dropout, and with nothing kept.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn hidden(&self, batch: &ModelBatch) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let pass = Pass { adapter: self.adapter_enabled, dropout: None, units: None };
        let (mut x_nd, rotation) = self.embed(batch)?;
        let context = self.context(batch, &rotation, &pass);
        for block in &self.body.blocks {
            x_nd = block.forward(x_nd, &context)?.0;
        }
        Ok(self.body.norm.forward(&x_nd, self.compute.kernels)?.0)
    }
}

/// What is kept of a block until its backward pass.
enum Activations {
    /// All that it needs.
    Whole(Box<KeptBlock>),
    /// Its input alone: the rest is computed again.
    Input(Tensor),
}
