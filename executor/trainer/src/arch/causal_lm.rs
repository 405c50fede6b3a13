//! A causal language model, mostly with an adapter: losses, gradients and logits of batches.
//!
//! The base is frozen, or all of it is trained. Forward and backward pass are written out, block by block: what a block keeps is
//! freed as soon as its backward pass has used it. The model is a value owned by one thread.

use tch::{Device, Kind, Tensor};

use crate::arch::batch::{Layout, ModelBatch};
use crate::arch::config::ModelConfig;
use crate::arch::llama::{KeptBlock, Llama};
use crate::device;
use crate::error::Result;
use crate::nn::compute::Compute;
use crate::nn::context::Context;
use crate::nn::rope::Rotation;
use crate::objective::cross_entropy::{LossStats, LossSums, TrainedHead, linear_cross_entropy};
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::Pass;
use crate::peft::prefix::Prefix;
use crate::peft::prompt::{Longer, Prompt};
use crate::privacy::row_units::RowUnits;
use crate::rng::Rng;
use crate::weights::WeightSource;

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
    /// The output head, (v, d): in the compute format, or in fp32 where it alone is trained.
    pub head_vd: &'a Tensor,
    /// The head as a parameter with where its gradient goes, where it is trained.
    pub trained: Option<TrainedHead<'a>>,
    /// How the model computes.
    pub compute: &'a Compute,
}

/// A loss of hidden states: its figures, and its gradient with respect to them; none where there is no target, or nothing that wants it.
pub type Objective<'a> = dyn FnMut(&AtHead<'_>) -> Result<(LossSums, Option<Tensor>)> + 'a;

/// The model.
#[derive(Debug)]
pub struct CausalLm {
    config: ModelConfig,
    pub(crate) body: Llama,
    /// Learned embeddings before each sequence.
    pub(crate) prompt: Option<Prompt>,
    /// The output head in fp32, (v, d), where it alone is trained.
    pub(crate) head: Option<Parameter>,
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

    /// The parameters in training, in a fixed order: an adapter's under PEFT's names, a whole model's under those of transformers.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Trains `parameters` from now on, which are in their layers already.
    pub(crate) fn set_parameters(&mut self, parameters: Parameters) {
        self.parameters = parameters;
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
        let longer = self.longer(batch)?;
        let layout = longer.as_ref().map_or(&batch.layout, |longer| &longer.layout);
        let rotation = self.rotation(layout)?;
        let context = self.context(layout, &rotation, &pass);
        let mut x_nd = self.embed(batch, longer.as_ref())?;
        let trained = self.trained_head(&pass, units.map(|(_, weights)| weights.as_slice()));
        let alone = trained.is_some_and(|head| head.alone);
        let mut kept = Vec::with_capacity(self.body.blocks.len());
        for block in &self.body.blocks {
            let input = x_nd.shallow_clone();
            let (next, of_block) = block.forward(x_nd, &context)?;
            x_nd = next;
            match options.gradient_checkpointing {
                // Nothing below the head wants a gradient.
                _ if alone => {}
                true => kept.push(Activations::Input(input)),
                false => kept.push(Activations::Whole(Box::new(of_block))),
            }
        }
        let (hidden, rstd) = self.normed(&x_nd, longer.as_ref())?;
        let (sums, dhidden) = objective(&AtHead { trained, ..self.at_head(&hidden) })?;
        drop(hidden);
        let Some(mut dhidden) = dhidden else { return Ok(sums) };
        if let Some((_, weights)) = units {
            // Everything from here on is linear in it, row by row.
            let weights = device::send(&Tensor::f_from_slice(weights)?, self.compute.device)?;
            let rows = dhidden.f_view([weights.size()[0], -1, dhidden.size()[1]])?;
            let _ = rows
                .shallow_clone()
                .f_mul_(&weights.f_view([-1, 1, 1])?.f_to_kind(self.compute.kind)?)?;
            dhidden = rows.f_view_as(&dhidden)?;
        }
        if let Some(longer) = &longer {
            dhidden = longer.spread(&dhidden)?;
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
            let wanted = !kept.is_empty() || longer.is_some() || self.body.trained.is_some();
            match block.backward(gradient, of_block, &context, wanted)? {
                Some(below) => gradient = below,
                None => return Ok(sums),
            }
        }
        if let Some((embedding, _)) = &self.body.trained {
            pass.add_embedding(embedding, &batch.input_ids.f_reshape([-1])?, &gradient)?;
        }
        if let Some(longer) = &longer {
            longer.add_gradient(&gradient, &pass)?;
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
        let head_vd = self.head_vd().f_to_kind(self.compute.kind)?;
        let logits = self.compute.project(&hidden, &head_vd)?;
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

    /// Embedded tokens, (n, d), with the virtual ones of `longer`.
    fn embed(&self, batch: &ModelBatch, longer: Option<&Longer<'_>>) -> Result<Tensor> {
        let ids = batch.input_ids.f_reshape([-1])?;
        let x_nd = Tensor::f_embedding(&self.body.embed_vd, &ids, -1, false, false)?;
        match longer {
            Some(longer) => longer.embedded(&x_nd),
            None => Ok(x_nd),
        }
    }

    /// The last norm of `x_nd`, of the batch's own positions, and the reciprocal roots of all.
    fn normed(&self, x_nd: &Tensor, longer: Option<&Longer<'_>>) -> Result<(Tensor, Tensor)> {
        let (hidden, rstd) = self.body.norm.forward(x_nd, self.compute.kernels)?;
        match longer {
            Some(longer) => Ok((longer.of_batch(&hidden)?, rstd)),
            None => Ok((hidden, rstd)),
        }
    }

    /// The rotation of positions, which come after those of a prefix.
    fn rotation(&self, layout: &Layout) -> Result<Rotation> {
        let prefix = self.body.blocks.first().and_then(|block| block.attention.prefix.as_ref());
        let before = prefix.filter(|_| self.adapter_enabled).map_or(0, Prefix::tokens);
        let position_ids = layout.position_ids.f_add_scalar(before)?;
        self.config.rope.tables(&position_ids, layout.positions + before, self.compute.kind)
    }

    /// Where the positions of `batch` go, where the model puts embeddings of its own before each sequence.
    fn longer(&self, batch: &ModelBatch) -> Result<Option<Longer<'_>>> {
        let prompt = self.prompt.as_ref().filter(|_| self.adapter_enabled);
        prompt.map(|prompt| prompt.before(&batch.layout.sequences, self.compute.device)).transpose()
    }

    /// The head that alone is trained, where it takes part.
    fn own_head(&self) -> Option<&Parameter> {
        self.head.as_ref().filter(|_| self.adapter_enabled)
    }

    /// The output head, (v, d), in the format that it has.
    fn head_vd(&self) -> &Tensor {
        self.own_head().map_or(&self.body.head_vd, |head| &head.value)
    }

    /// The head as a parameter, with what each row of the batch counts where rows are told apart.
    fn trained_head<'a>(
        &'a self,
        pass: &'a Pass,
        weights: Option<&'a [f32]>,
    ) -> Option<TrainedHead<'a>> {
        let of_all = self.body.trained.as_ref().map(|(_, head)| (head, false));
        let head = self.own_head().map(|head| (head, true)).or(of_all);
        head.map(|(parameter, alone)| TrainedHead { parameter, pass, weights, alone })
    }

    pub(crate) fn context<'a>(
        &'a self,
        layout: &'a Layout,
        rotation: &'a Rotation,
        pass: &'a Pass,
    ) -> Context<'a> {
        Context { compute: &self.compute, rotation, layout, pass }
    }

    /// Hidden states with what is needed to compute logits of them.
    pub fn at_head<'a>(&'a self, hidden_nd: &'a Tensor) -> AtHead<'a> {
        AtHead { hidden_nd, head_vd: self.head_vd(), trained: None, compute: &self.compute }
    }

    /// Hidden states (n, d) of the batch's positions after the last norm, without dropout, and with nothing kept.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn hidden(&self, batch: &ModelBatch) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let pass = Pass { adapter: self.adapter_enabled, dropout: None, units: None };
        let longer = self.longer(batch)?;
        let layout = longer.as_ref().map_or(&batch.layout, |longer| &longer.layout);
        let rotation = self.rotation(layout)?;
        let context = self.context(layout, &rotation, &pass);
        let mut x_nd = self.embed(batch, longer.as_ref())?;
        for block in &self.body.blocks {
            x_nd = block.forward(x_nd, &context)?.0;
        }
        Ok(self.normed(&x_nd, longer.as_ref())?.0)
    }
}

/// What is kept of a block until its backward pass.
enum Activations {
    /// All that it needs.
    Whole(Box<KeptBlock>),
    /// Its input alone: the rest is computed again.
    Input(Tensor),
}
