//! The Llama block and its stack: `llama`, `mistral`, `qwen2` and `qwen3` differ only in biases, norms and windows, which the
//! configuration names.
//!
//! Modules carry their Hugging Face paths, so weight files load by name.

use tch::{Device, Kind, Tensor};

use crate::arch::config::ModelConfig;
use crate::error::Result;
use crate::nn::attention::{Attention, Context};
use crate::nn::linear::Linear;
use crate::nn::norm::RmsNorm;
use crate::weights::{WeightSource, require};

/// One transformer block.
#[derive(Debug)]
pub struct Block {
    input_layernorm: RmsNorm,
    /// The attention.
    pub attention: Attention,
    post_attention_layernorm: RmsNorm,
    /// Gate of the MLP.
    pub gate_proj: Linear,
    /// Values of the MLP.
    pub up_proj: Linear,
    /// Back to the residual stream.
    pub down_proj: Linear,
}

impl Block {
    /// `x_btd` to (b, t, d).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(&self, x_btd: &Tensor, context: &Context<'_>) -> Result<Tensor> {
        let attended = self.attention.forward(&self.input_layernorm.forward(x_btd)?, context)?;
        let x_btd = x_btd.f_add(&attended)?;
        let normed = self.post_attention_layernorm.forward(&x_btd)?;
        let gate = self.gate_proj.forward(&normed, context.pass)?.f_silu()?;
        let up = self.up_proj.forward(&normed, context.pass)?;
        let mlp = self.down_proj.forward(&gate.f_mul(&up)?, context.pass)?;
        Ok(x_btd.f_add(&mlp)?)
    }

    /// Its linear layers in PEFT's order.
    pub fn linears(&self) -> [&Linear; 7] {
        let a = &self.attention;
        [
            &a.q_proj,
            &a.k_proj,
            &a.v_proj,
            &a.o_proj,
            &self.gate_proj,
            &self.up_proj,
            &self.down_proj,
        ]
    }

    /// The same, to attach adapters.
    pub fn linears_mut(&mut self) -> [&mut Linear; 7] {
        let a = &mut self.attention;
        [
            &mut a.q_proj,
            &mut a.k_proj,
            &mut a.v_proj,
            &mut a.o_proj,
            &mut self.gate_proj,
            &mut self.up_proj,
            &mut self.down_proj,
        ]
    }
}

/// The stack without embedding and head.
#[derive(Debug)]
pub struct Llama {
    /// (v, d).
    pub embed_vd: Tensor,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The last norm.
    pub norm: RmsNorm,
    /// (v, d): the output head; the embedding itself where they are tied.
    pub head_vd: Tensor,
    /// Parameters of all of it, tied ones counted once.
    pub parameters: i64,
}

impl Llama {
    /// Loads the weights in `kind` onto `device`, one tensor at a time.
    ///
    /// # Errors
    /// A user error naming a tensor that is missing or has another shape.
    pub fn load(
        source: &dyn WeightSource,
        config: &ModelConfig,
        device: Device,
        kind: Kind,
    ) -> Result<Self> {
        let mut loader = Loader { source, device, kind, parameters: 0 };
        let (d, v) = (config.hidden_size, config.vocab_size);
        let embed_vd = loader.tensor("model.embed_tokens.weight", &[v, d])?;
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            blocks.push(loader.block(config, layer)?);
        }
        let norm = loader.norm("model.norm", d, config.rms_norm_eps)?;
        // A tied model may still carry the head in its file; the flag decides, as in transformers.
        let head_vd = match config.tie_word_embeddings {
            true => embed_vd.shallow_clone(),
            false => loader.tensor("lm_head.weight", &[v, d])?,
        };
        Ok(Self { embed_vd, blocks, norm, head_vd, parameters: loader.parameters })
    }
}

/// Reads tensors and counts them.
struct Loader<'a> {
    source: &'a dyn WeightSource,
    device: Device,
    kind: Kind,
    parameters: i64,
}

impl Loader<'_> {
    fn tensor(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let tensor = require(self.source, name, shape)?;
        self.parameters += tensor.numel() as i64;
        Ok(tensor.f_to_device(self.device)?.f_to_kind(self.kind)?.f_set_requires_grad(false)?)
    }

    fn norm(&mut self, path: &str, width: i64, eps: f64) -> Result<RmsNorm> {
        Ok(RmsNorm::new(self.tensor(&format!("{path}.weight"), &[width])?, eps))
    }

    fn linear(&mut self, path: String, out: i64, inputs: i64, bias: bool) -> Result<Linear> {
        let weight = self.tensor(&format!("{path}.weight"), &[out, inputs])?;
        let bias = match bias {
            true => Some(self.tensor(&format!("{path}.bias"), &[out])?),
            false => None,
        };
        Ok(Linear::new(path, weight, bias))
    }

    fn block(&mut self, config: &ModelConfig, layer: usize) -> Result<Block> {
        let path = format!("model.layers.{layer}");
        let (d, wide, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let attention = format!("{path}.self_attn");
        let qk_norm = match config.qk_norm {
            true => Some((
                self.norm(&format!("{attention}.q_norm"), config.head_dim, eps)?,
                self.norm(&format!("{attention}.k_norm"), config.head_dim, eps)?,
            )),
            false => None,
        };
        Ok(Block {
            input_layernorm: self.norm(&format!("{path}.input_layernorm"), d, eps)?,
            attention: Attention {
                q_proj: self.linear(format!("{attention}.q_proj"), q, d, config.qkv_bias)?,
                k_proj: self.linear(format!("{attention}.k_proj"), kv, d, config.qkv_bias)?,
                v_proj: self.linear(format!("{attention}.v_proj"), kv, d, config.qkv_bias)?,
                o_proj: self.linear(format!("{attention}.o_proj"), d, q, config.output_bias)?,
                qk_norm,
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_dim: config.head_dim,
                window: config.windows[layer],
            },
            post_attention_layernorm: self.norm(
                &format!("{path}.post_attention_layernorm"),
                d,
                eps,
            )?,
            gate_proj: self.linear(format!("{path}.mlp.gate_proj"), wide, d, config.mlp_bias)?,
            up_proj: self.linear(format!("{path}.mlp.up_proj"), wide, d, config.mlp_bias)?,
            down_proj: self.linear(format!("{path}.mlp.down_proj"), d, wide, config.mlp_bias)?,
        })
    }
}
