//! A causal language model with an adapter: losses, gradients and logits of batches.
//!
//! The base is frozen: nothing is kept for a gradient of it. Forward and backward pass are written out, block by block: what a block keeps is
//! freed as soon as its backward pass has used it. The model is a value owned by one thread.

use tch::{Device, Kind, Tensor};
use trainyard_openapi::error::ErrorCode;

use crate::arch::config::ModelConfig;
use crate::arch::llama::{KeptBlock, Llama};
use crate::error::{Result, TrainerError};
use crate::nn::compute::Compute;
use crate::nn::context::Context;
use crate::nn::linear::Projection;
use crate::nn::rope::Rotation;
use crate::objective::cross_entropy::{LossStats, linear_cross_entropy};
use crate::optim::parameters::Parameters;
use crate::peft::AdapterSettings;
use crate::peft::head::TrainedHead;
use crate::peft::lora::Pass;
use crate::peft::prefix::Prefix;
use crate::peft::prompt::Prompt;
use crate::privacy::gradients::RowUnits;
use crate::rng::Rng;
use crate::weights::WeightSource;

/// Rows of tokens on the model's device, all (b, t) in int64.
#[derive(Debug)]
pub struct ModelBatch {
    /// Token ids.
    pub input_ids: Tensor,
    /// Aligned with `input_ids` as in transformers; -100 asks for no loss. The loss shifts them.
    pub labels: Tensor,
    /// Positions, from 0 in each sequence.
    pub position_ids: Tensor,
    /// Which sequence of its row a token belongs to; only for packed rows.
    pub segment_ids: Option<Tensor>,
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
    /// The output head, (v, d): frozen and in the compute format, or in training and in fp32.
    pub head_vd: &'a Tensor,
    /// How the model computes.
    pub compute: &'a Compute,
}

/// A loss of hidden states: its figures, and its gradient with respect to them; none where there is no target.
pub type Objective<'a> = dyn FnMut(&AtHead<'_>) -> Result<(LossStats, Option<Tensor>)> + 'a;

/// The model.
#[derive(Debug)]
pub struct CausalLm {
    config: ModelConfig,
    pub(crate) body: Llama,
    /// Learned embeddings before each sequence.
    pub(crate) prompt: Option<Prompt>,
    /// The output head, where it is trained.
    pub(crate) head: Option<TrainedHead>,
    pub(crate) compute: Compute,
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
        let (prompt, head) = (None, None);
        Ok(Self { config, body, prompt, head, compute, parameters, adapter_enabled: true })
    }

    /// Makes the parameters of a method, as fresh ones begin.
    ///
    /// # Errors
    /// A user error where the settings do not fit the model.
    pub fn attach(&mut self, settings: &AdapterSettings, rng: &mut Rng) -> Result<()> {
        match settings {
            AdapterSettings::Lora(settings) => self.attach_lora(settings, rng),
            AdapterSettings::Ia3(settings) => self.attach_ia3(settings),
            AdapterSettings::Prompt { tokens } => self.attach_prompt(*tokens, rng),
            AdapterSettings::Prefix { tokens } => self.attach_prefix(*tokens, rng),
            AdapterSettings::Head => self.attach_head(),
            AdapterSettings::Full => {
                let param = "trainyard.adapter.type".to_string();
                let message = "trainyard.adapter.type: 'full' is not available in this version";
                Err(TrainerError::request(ErrorCode::NotAvailable, Some(param), message))
            }
        }
    }

    /// The adapter's parameters under PEFT's names, in a fixed order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Trains `parameters` from now on, which are in their layers already.
    pub(crate) fn set_parameters(&mut self, parameters: Parameters) {
        self.parameters = parameters;
    }

    /// The projections, to attach adapters.
    pub(crate) fn projections_mut(&mut self) -> impl Iterator<Item = &mut Projection> {
        let linears = self.body.blocks.iter_mut().flat_map(|block| block.linears_mut());
        linears.flat_map(|linear| &mut linear.projections)
    }

    /// The projections with their inputs, in PEFT's order.
    pub(crate) fn projections(&self) -> impl Iterator<Item = (i64, &Projection)> {
        let linears = self.body.blocks.iter().flat_map(|block| block.linears());
        linears.flat_map(|linear| {
            linear.projections.iter().map(|projection| (linear.inputs(), projection))
        })
    }

    /// The last parts of the paths of the adapted layers, sorted: PEFT's `target_modules`.
    pub fn target_suffixes(&self) -> Vec<String> {
        let adapted = self
            .projections()
            .filter(|(_, projection)| projection.lora.is_some() || projection.ia3.is_some());
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
        let longer = self.lengthened(batch)?;
        let batch = longer.as_ref().unwrap_or(batch);
        let hidden = self.hidden(batch)?;
        Ok(self.loss(&hidden, batch, None)?.0)
    }

    /// Adds the gradient of `scale * loss_sum` to the adapter's gradients and gives the loss.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn accumulate_gradients(
        &self,
        batch: &ModelBatch,
        scale: f64,
        options: &StepOptions,
    ) -> Result<LossStats> {
        if let Some(head) = self.own_head() {
            return self.accumulate_head(head, batch, scale, options);
        }
        let longer = self.lengthened(batch)?;
        let batch = longer.as_ref().unwrap_or(batch);
        self.accumulate_with(batch, options, &mut |hidden| {
            self.loss(hidden.hidden_nd, batch, Some(scale))
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
    ) -> Result<LossStats> {
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
        let (hidden, rstd) = self.body.norm.forward(&x_nd, self.compute.fused)?;
        let (stats, dhidden) = objective(&self.at_head(&hidden))?;
        drop(hidden);
        let Some(mut dhidden) = dhidden else { return Ok(stats) };
        if let Some((_, weights)) = units {
            // Everything from here on is linear in it, row by row.
            let weights = Tensor::f_from_slice(weights)?.f_to_device(self.compute.device)?;
            let rows = dhidden.f_view([weights.size()[0], context.length, -1])?;
            let _ = rows
                .shallow_clone()
                .f_mul_(&weights.f_view([-1, 1, 1])?.f_to_kind(self.compute.kind)?)?;
            dhidden = rows.f_view_as(&dhidden)?;
        }
        let mut gradient = dhidden.f_zeros_like()?;
        self.body.norm.backward(&dhidden, &x_nd, &rstd, &mut gradient, self.compute.fused)?;
        drop((dhidden, x_nd));
        for block in self.body.blocks.iter().rev() {
            let of_block = match kept.pop() {
                Some(Activations::Whole(of_block)) => *of_block,
                Some(Activations::Input(x)) => block.forward(x, &context)?.1,
                None => break,
            };
            // The first block's input is the embedding: nothing below it wants a gradient where that is frozen.
            let wanted = !kept.is_empty() || self.own_prompt().is_some();
            match block.backward(gradient, of_block, &context, wanted)? {
                Some(below) => gradient = below,
                None => return Ok(stats),
            }
        }
        if let Some(prompt) = self.own_prompt() {
            prompt.add_gradient(&batch.input_ids, &gradient, &pass)?;
        }
        Ok(stats)
    }

    /// Logits (b, t, v) in fp32, of virtual tokens too: for parity tests and self-checks, never for training.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn logits(&self, batch: &ModelBatch) -> Result<Tensor> {
        let longer = self.lengthened(batch)?;
        let batch = longer.as_ref().unwrap_or(batch);
        let hidden = self.hidden(batch)?;
        let (b, t) = batch.input_ids.size2()?;
        let head_vd = self.head_vd().f_to_kind(self.compute.kind)?;
        let logits = self.compute.project(&hidden, &head_vd)?;
        Ok(logits.f_view([b, t, -1])?.f_to_kind(Kind::Float)?)
    }

    /// Parameters of the base.
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

    /// Embedded tokens (n, d) and the rotation of their positions.
    fn embed(&self, batch: &ModelBatch) -> Result<(Tensor, Rotation)> {
        let ids = batch.input_ids.f_reshape([-1])?;
        let embed_vd = &self.body.embed_vd;
        let x_nd = match self.own_prompt() {
            Some(prompt) => prompt.embedded(embed_vd, &ids)?,
            None => Tensor::f_embedding(embed_vd, &ids, -1, false, false)?,
        };
        let prefix = self.body.blocks.first().and_then(|block| block.attention.prefix.as_ref());
        let before = prefix.filter(|_| self.adapter_enabled).map_or(0, Prefix::tokens);
        let positions = batch.position_ids.f_add_scalar(before)?;
        Ok((x_nd, self.config.rope.tables(&positions, self.compute.kind)?))
    }

    /// The learned embeddings, where they take part.
    fn own_prompt(&self) -> Option<&Prompt> {
        self.prompt.as_ref().filter(|_| self.adapter_enabled)
    }

    /// The head in training, where it takes part.
    fn own_head(&self) -> Option<&TrainedHead> {
        self.head.as_ref().filter(|_| self.adapter_enabled)
    }

    /// The output head, (v, d), in its own format.
    fn head_vd(&self) -> &Tensor {
        self.own_head().map_or(&self.body.head_vd, |head| &head.weight.value)
    }

    /// `batch` with the virtual tokens that the model has, if it has any.
    fn lengthened(&self, batch: &ModelBatch) -> Result<Option<ModelBatch>> {
        self.own_prompt().map(|prompt| prompt.lengthened(batch)).transpose()
    }

    pub(crate) fn context<'a>(
        &'a self,
        batch: &'a ModelBatch,
        rotation: &'a Rotation,
        pass: &'a Pass,
    ) -> Context<'a> {
        let (rows, length) = (batch.input_ids.size()[0], batch.input_ids.size()[1]);
        let (segments_bt, positions_bt) = (batch.segment_ids.as_ref(), &batch.position_ids);
        Context { compute: &self.compute, rotation, rows, length, segments_bt, positions_bt, pass }
    }

    /// Hidden states with what is needed to compute logits of them.
    pub fn at_head<'a>(&'a self, hidden_nd: &'a Tensor) -> AtHead<'a> {
        AtHead { hidden_nd, head_vd: self.head_vd(), compute: &self.compute }
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
        Ok(self.body.norm.forward(&x_nd, self.compute.fused)?.0)
    }

    fn loss(
        &self,
        hidden_nd: &Tensor,
        batch: &ModelBatch,
        scale: Option<f64>,
    ) -> Result<(LossStats, Option<Tensor>)> {
        linear_cross_entropy(hidden_nd, self.head_vd(), &batch.labels, scale, &self.compute)
    }
}

/// What is kept of a block until its backward pass.
enum Activations {
    /// All that it needs.
    Whole(Box<KeptBlock>),
    /// Its input alone: the rest is computed again.
    Input(Tensor),
}
