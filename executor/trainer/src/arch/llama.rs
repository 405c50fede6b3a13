//! The Llama block and its stack: `llama`, `mistral`, `qwen2` and `qwen3` differ only in biases, norms and windows, which the
//! configuration names.
//!
//! Modules carry their Hugging Face paths, so weight files load by name.

use tch::{Device, Kind, Tensor};

use crate::arch::config::ModelConfig;
use crate::error::Result;
use crate::kernels::Heads;
use crate::nn::attention::{Attention, KeptAttention};
use crate::nn::context::Context;
use crate::nn::linear::{Kept, Linear};
use crate::nn::norm::RmsNorm;
use crate::nn::swiglu;
use crate::optim::parameters::Parameter;
use crate::peft::full::Places;
use crate::weights::{WeightSource, require};

/// One transformer block.
#[derive(Debug)]
pub struct Block {
    input_layernorm: RmsNorm,
    /// The attention.
    pub attention: Attention,
    post_attention_layernorm: RmsNorm,
    /// Gate and values of the MLP.
    pub gate_up: Linear,
    /// Back to the residual stream.
    pub down_proj: Linear,
}

/// What a block's backward pass needs: its input, the middle of its residual stream, and what cannot be had again cheaply.
#[derive(Debug)]
pub struct KeptBlock {
    x: Tensor,
    x_rstd: Tensor,
    attention: KeptAttention,
    mid: Tensor,
    mid_rstd: Tensor,
    gate_up: Tensor,
    of_gate_up: Kept,
    of_down: Kept,
}

impl KeptBlock {
    /// Queries, keys and values of the block's attention side by side, rotated.
    pub fn qkv(&self) -> &Tensor {
        self.attention.qkv()
    }
}

impl Block {
    /// `x_nd` to (n, d).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(&self, x_nd: Tensor, context: &Context<'_>) -> Result<(Tensor, KeptBlock)> {
        let (compute, pass) = (context.compute, context.pass);
        let kernels = compute.kernels;
        let (normed, x_rstd) = self.input_layernorm.forward(&x_nd, kernels)?;
        let (mid, attention) = self.attention.forward(&normed, &x_nd, context)?;
        let (normed, mid_rstd) = self.post_attention_layernorm.forward(&mid, kernels)?;
        let (gate_up, of_gate_up) = self.gate_up.forward(&normed, None, compute, pass)?;
        drop(normed);
        let h = swiglu::forward(&gate_up, kernels)?;
        let (y, of_down) = self.down_proj.forward(&h, Some(&mid), compute, pass)?;
        let x = x_nd;
        Ok((y, KeptBlock { x, x_rstd, attention, mid, mid_rstd, gate_up, of_gate_up, of_down }))
    }

    /// Adds the parameters' gradients for `dy_nd`, and gives that of the block's input where it is `wanted`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn backward(
        &self,
        dy_nd: Tensor,
        kept: KeptBlock,
        context: &Context<'_>,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let (compute, pass) = (context.compute, context.pass);
        let kernels = compute.kernels;
        let KeptBlock { x, x_rstd, attention, mid, mid_rstd, gate_up, of_gate_up, of_down } = kept;
        // The gradient of the residual stream, to which each branch adds its own.
        let mut dx = dy_nd;
        let h = swiglu::forward(&gate_up, kernels)?;
        if let Some(dh) = self.down_proj.backward(&dx, &h, &of_down, compute, pass, true)? {
            drop(h);
            let dgate_up = swiglu::backward(&dh, gate_up, kernels)?;
            drop(dh);
            let (normed, _) = self.post_attention_layernorm.forward(&mid, kernels)?;
            let dnormed =
                self.gate_up.backward(&dgate_up, &normed, &of_gate_up, compute, pass, true)?;
            if let Some(dnormed) = dnormed {
                let norm = &self.post_attention_layernorm;
                norm.add_gradient(&dnormed, &mid, &mid_rstd, kernels, pass)?;
                norm.backward(&dnormed, &mid, &mid_rstd, &mut dx, kernels)?;
            }
        }
        let (normed, _) = self.input_layernorm.forward(&x, kernels)?;
        let dnormed = self.attention.backward(&dx, &normed, attention, context, wanted)?;
        match dnormed {
            Some(dnormed) => {
                self.input_layernorm.add_gradient(&dnormed, &x, &x_rstd, kernels, pass)?;
                self.input_layernorm.backward(&dnormed, &x, &x_rstd, &mut dx, kernels)?;
                Ok(Some(dx))
            }
            None => Ok(None),
        }
    }

    /// Its weights under their Hugging Face names, in the order of [`Block::train`].
    fn weights(&self, path: &str) -> Result<Vec<(String, Tensor)>> {
        let norm = |name: &str, norm: &RmsNorm| {
            (format!("{path}.{name}.weight"), norm.weight().shallow_clone())
        };
        let mut all = vec![norm("input_layernorm", &self.input_layernorm)];
        all.extend(self.attention.qkv.weights()?);
        if let Some((q_norm, k_norm)) = &self.attention.qk_norm {
            all.push(norm("self_attn.q_norm", q_norm));
            all.push(norm("self_attn.k_norm", k_norm));
        }
        all.extend(self.attention.o_proj.weights()?);
        all.push(norm("post_attention_layernorm", &self.post_attention_layernorm));
        all.extend(self.gate_up.weights()?);
        all.extend(self.down_proj.weights()?);
        Ok(all)
    }

    /// Trains all its weights, which move to the next of `places`.
    fn train(&mut self, places: &mut Places<'_>) -> Result<()> {
        self.input_layernorm.train(places)?;
        self.attention.qkv.train(places)?;
        if let Some((q_norm, k_norm)) = &mut self.attention.qk_norm {
            q_norm.train(places)?;
            k_norm.train(places)?;
        }
        self.attention.o_proj.train(places)?;
        self.post_attention_layernorm.train(places)?;
        self.gate_up.train(places)?;
        self.down_proj.train(places)
    }

    /// Its linear layers in PEFT's order.
    pub fn linears(&self) -> [&Linear; 4] {
        [&self.attention.qkv, &self.attention.o_proj, &self.gate_up, &self.down_proj]
    }

    /// The same, to attach adapters.
    pub fn linears_mut(&mut self) -> [&mut Linear; 4] {
        let a = &mut self.attention;
        [&mut a.qkv, &mut a.o_proj, &mut self.gate_up, &mut self.down_proj]
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
    /// Embedding and head as parameters, where they are trained: the same one where they are tied.
    pub trained: Option<(Parameter, Parameter)>,
    /// Parameters of all of it that are frozen, tied ones counted once.
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
        let parameters = loader.parameters;
        Ok(Self { embed_vd, blocks, norm, head_vd, trained: None, parameters })
    }

    /// All weights under their Hugging Face names, in the order of [`Llama::train`]; tied ones once.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn weights(&self, tied: bool) -> Result<Vec<(String, Tensor)>> {
        let mut all =
            vec![("model.embed_tokens.weight".to_string(), self.embed_vd.shallow_clone())];
        for (layer, block) in self.blocks.iter().enumerate() {
            all.extend(block.weights(&format!("model.layers.{layer}"))?);
        }
        all.push(("model.norm.weight".to_string(), self.norm.weight().shallow_clone()));
        if !tied {
            all.push(("lm_head.weight".to_string(), self.head_vd.shallow_clone()));
        }
        Ok(all)
    }

    /// Trains all weights, which move to the next of `places`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn train(&mut self, tied: bool, places: &mut Places<'_>) -> Result<()> {
        let (embed_vd, embedding) = places.take(&self.embed_vd.size())?;
        for block in &mut self.blocks {
            block.train(places)?;
        }
        self.norm.train(places)?;
        let (head_vd, head) = match tied {
            true => (embed_vd.shallow_clone(), embedding.share()),
            false => places.take(&self.head_vd.size())?,
        };
        (self.embed_vd, self.head_vd) = (embed_vd, head_vd);
        (self.trained, self.parameters) = (Some((embedding, head)), 0);
        Ok(())
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
        let mut tensor = Tensor::f_empty(shape, (self.kind, self.device))?;
        self.fill(name, &mut tensor)?;
        Ok(tensor)
    }

    fn fill(&mut self, name: &str, tensor: &mut Tensor) -> Result<()> {
        require(self.source, name, tensor)?;
        self.parameters += tensor.numel() as i64;
        Ok(())
    }

    fn norm(&mut self, path: &str, width: i64, eps: f64) -> Result<RmsNorm> {
        Ok(RmsNorm::new(self.tensor(&format!("{path}.weight"), &[width])?, eps))
    }

    /// Projections of one input: (path, outputs), one below the other.
    fn linear(&mut self, parts: &[(String, i64)], inputs: i64, bias: bool) -> Result<Linear> {
        let (outputs, options) = (parts.iter().map(|(_, out)| out).sum(), (self.kind, self.device));
        let weight_oi = Tensor::f_empty([outputs, inputs], options)?;
        let bias_o = match bias {
            true => Some(Tensor::f_empty([outputs], options)?),
            false => None,
        };
        let mut start = 0;
        for (path, out) in parts {
            // Each into its rows at once: a weight is written to memory one time.
            self.fill(&format!("{path}.weight"), &mut weight_oi.f_narrow(0, start, *out)?)?;
            if let Some(bias_o) = &bias_o {
                self.fill(&format!("{path}.bias"), &mut bias_o.f_narrow(0, start, *out)?)?;
            }
            start += out;
        }
        Ok(Linear::new(parts, weight_oi, bias_o))
    }

    fn block(&mut self, config: &ModelConfig, layer: usize) -> Result<Block> {
        let path = format!("model.layers.{layer}");
        let (d, wide, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let of_attention = |name: &str, out| (format!("{path}.self_attn.{name}"), out);
        let of_mlp = |name: &str, out| (format!("{path}.mlp.{name}"), out);
        let qk_norm = match config.qk_norm {
            true => Some((
                self.norm(&format!("{path}.self_attn.q_norm"), config.head_dim, eps)?,
                self.norm(&format!("{path}.self_attn.k_norm"), config.head_dim, eps)?,
            )),
            false => None,
        };
        let qkv =
            [of_attention("q_proj", q), of_attention("k_proj", kv), of_attention("v_proj", kv)];
        let gate_up = [of_mlp("gate_proj", wide), of_mlp("up_proj", wide)];
        Ok(Block {
            input_layernorm: self.norm(&format!("{path}.input_layernorm"), d, eps)?,
            attention: Attention {
                qkv: self.linear(&qkv, d, config.qkv_bias)?,
                o_proj: self.linear(&[of_attention("o_proj", d)], q, config.output_bias)?,
                qk_norm,
                heads: Heads { query: config.heads, key: config.kv_heads, width: config.head_dim },
                window: config.windows[layer],
                prefix: None,
            },
            post_attention_layernorm: self.norm(
                &format!("{path}.post_attention_layernorm"),
                d,
                eps,
            )?,
            gate_up: self.linear(&gate_up, d, config.mlp_bias)?,
            down_proj: self.linear(&[of_mlp("down_proj", d)], wide, config.mlp_bias)?,
        })
    }
}
