//! A causal language model with an adapter: losses, gradients and logits of batches.
//!
//! The base is frozen: it asks for no gradient, and nothing is kept for one. The model is a value owned by one thread.

use tch::{Device, Kind, Tensor};

use crate::arch::config::ModelConfig;
use crate::arch::llama::Llama;
use crate::error::{Result, TrainerError};
use crate::nn::attention::Context;
use crate::nn::rope::Rotation;
use crate::objective::cross_entropy::{LossStats, linear_cross_entropy};
use crate::peft::lora::{Lora, LoraSettings, Pass, check_targets};
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
}

/// The model.
#[derive(Debug)]
pub struct CausalLm {
    config: ModelConfig,
    body: Llama,
    device: Device,
    kind: Kind,
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
        let _no_grad = tch::no_grad_guard();
        let body = Llama::load(source, config, device, kind)?;
        Ok(Self { config: config.clone(), body, device, kind, adapter_enabled: true })
    }

    /// Puts a fresh `LoRA` on the layers that `settings` names.
    ///
    /// # Errors
    /// A user error where a name matches nothing.
    pub fn attach_lora(&mut self, settings: &LoraSettings, rng: &mut Rng) -> Result<()> {
        let paths: Vec<&str> = self
            .body
            .blocks
            .iter()
            .flat_map(|block| block.linears())
            .map(|linear| linear.name.as_str())
            .collect();
        check_targets(settings, &paths)?;
        let mut number = 0;
        for linear in self.body.blocks.iter_mut().flat_map(|block| block.linears_mut()) {
            if settings.targets(&linear.name) {
                linear.lora = Some(Lora::new(linear.shape(), settings, number, rng, self.device)?);
                number += 1;
            }
        }
        Ok(())
    }

    /// The adapter's parameters under PEFT's names, in a fixed order: fp32 leaves.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        let mut parameters = Vec::new();
        for linear in self.body.blocks.iter().flat_map(|block| block.linears()) {
            if let Some(lora) = &linear.lora {
                let path = format!("base_model.model.{}", linear.name);
                parameters.push((format!("{path}.lora_A.weight"), lora.a_ri.shallow_clone()));
                parameters.push((format!("{path}.lora_B.weight"), lora.b_or.shallow_clone()));
            }
        }
        parameters
    }

    /// The last parts of the paths of the adapted layers, sorted: PEFT's `target_modules`.
    pub fn target_suffixes(&self) -> Vec<String> {
        let linears = self.body.blocks.iter().flat_map(|block| block.linears());
        let adapted = linears.filter(|linear| linear.lora.is_some());
        let mut names: Vec<String> = adapted
            .filter_map(|linear| linear.name.rsplit('.').next())
            .map(ToString::to_string)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Copies an adapter's values in; the names must be just those of [`CausalLm::trainable`].
    ///
    /// # Errors
    /// A checkpoint error naming what is missing, unknown or of another shape.
    pub fn load_adapter(&mut self, source: &dyn WeightSource) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let parameters = self.trainable();
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
            parameter.f_copy_(&value.f_to_device(self.device)?)?;
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

    /// The loss of a batch.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn evaluate(&self, batch: &ModelBatch) -> Result<LossStats> {
        let _no_grad = tch::no_grad_guard();
        let hidden = self.hidden(batch, &self.pass(None))?;
        Ok(linear_cross_entropy(&hidden, &self.body.head_vd, &batch.labels, None)?.0)
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
        let pass = self.pass(options.dropout.clone());
        if options.gradient_checkpointing {
            return self.accumulate_recomputing(batch, scale, &pass);
        }
        let hidden = self.hidden(batch, &pass)?;
        let (stats, gradient) =
            linear_cross_entropy(&hidden, &self.body.head_vd, &batch.labels, Some(scale))?;
        if let Some(gradient) = gradient {
            backward(&hidden, &gradient)?;
        }
        Ok(stats)
    }

    /// Logits (b, t, v) in fp32: for parity tests and self-checks, never for training.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn logits(&self, batch: &ModelBatch) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let hidden = self.hidden(batch, &self.pass(None))?;
        Ok(hidden.f_linear(&self.body.head_vd, None::<&Tensor>)?.f_to_kind(Kind::Float)?)
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
        self.device
    }

    fn pass(&self, dropout: Option<Rng>) -> Pass {
        Pass { adapter: self.adapter_enabled, dropout }
    }

    fn embed(&self, batch: &ModelBatch) -> Result<(Tensor, Rotation)> {
        let x_btd = Tensor::f_embedding(&self.body.embed_vd, &batch.input_ids, -1, false, false)?;
        let rotation = self.config.rope.tables(&batch.position_ids, self.kind)?;
        Ok((x_btd, rotation))
    }

    fn context<'a>(
        &self,
        batch: &'a ModelBatch,
        rotation: &'a Rotation,
        pass: &'a Pass,
    ) -> Context<'a> {
        let segments_bt = batch.segment_ids.as_ref();
        Context { rotation, segments_bt, kind: self.kind, device: self.device, pass }
    }

    /// Hidden states (b, t, d) after the last norm.
    fn hidden(&self, batch: &ModelBatch, pass: &Pass) -> Result<Tensor> {
        let (mut x_btd, rotation) = self.embed(batch)?;
        let context = self.context(batch, &rotation, pass);
        for block in &self.body.blocks {
            x_btd = block.forward(&x_btd, &context)?;
        }
        self.body.norm.forward(&x_btd)
    }

    /// Gradients with memory for one block's activations: the inputs of blocks are kept, everything else is computed again.
    fn accumulate_recomputing(
        &self,
        batch: &ModelBatch,
        scale: f64,
        pass: &Pass,
    ) -> Result<LossStats> {
        let (embedded, rotation) = self.embed(batch)?;
        let context = self.context(batch, &rotation, pass);
        let mut inputs = vec![embedded];
        {
            let _no_grad = tch::no_grad_guard();
            for block in &self.body.blocks {
                let next = block.forward(&inputs[inputs.len() - 1], &context)?;
                inputs.push(next);
            }
        }
        let Some(last) = inputs.pop() else { return Ok(LossStats::default()) };
        let leaf = last.f_detach()?.f_set_requires_grad(true)?;
        let hidden = self.body.norm.forward(&leaf)?;
        let (stats, gradient) =
            linear_cross_entropy(&hidden, &self.body.head_vd, &batch.labels, Some(scale))?;
        let Some(gradient) = gradient else { return Ok(stats) };
        backward(&hidden, &gradient)?;
        let mut gradient = leaf.grad();
        for block in self.body.blocks.iter().rev() {
            let Some(input) = inputs.pop() else { break };
            // The first block's input is the frozen embedding: nothing below it wants a gradient.
            let leaf = input.f_detach()?.f_set_requires_grad(!inputs.is_empty())?;
            backward(&block.forward(&leaf, &context)?, &gradient)?;
            if !inputs.is_empty() {
                gradient = leaf.grad();
            }
        }
        Ok(stats)
    }
}

/// The vector-Jacobian product of `output` with `gradient`, added to the leaves. The product with a constant has the exact
/// gradient in every format.
fn backward(output: &Tensor, gradient: &Tensor) -> Result<()> {
    if output.requires_grad() {
        output.f_mul(gradient)?.f_sum(Kind::Float)?.f_backward()?;
    }
    Ok(())
}
