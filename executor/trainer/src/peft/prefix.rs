//! Prefix tuning (arXiv 2101.00190): learned keys and values before each sequence in every block, without the MLP that the paper makes them
//! with.
//!
//! As in PEFT they take the first positions, so that those of the sequence begin after them, the keys are not rotated, and a window passes
//! over them like over any position. They start as keys and values of tokens drawn from the vocabulary: real activations, which the paper
//! found better than random numbers.
//!
//! The kernels know nothing of them. Softmax over both is put together from each one's sum: with `L = log(e^l + e^p)`, the parts count
//! `e^(l - L)` and `e^(p - L)`. Backward, each part needs the whole's output and log sum alone.

use tch::{Kind, Tensor};

use crate::arch::{CausalLm, Layout};
use crate::data::Sequences;
use crate::error::Result;
use crate::kernels::Heads;
use crate::nn::context::Context;
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::Pass;
use crate::peft::prompt::NAME;
use crate::rng::Rng;

/// Keys and values before the sequence in one block.
#[derive(Debug)]
pub struct Prefix {
    /// Of all blocks, (tokens, 2 layers key-heads width): of each block the keys, then the values.
    parameter: Parameter,
    layer: i64,
    heads: Heads,
}

/// Keys or values.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// Keys.
    Keys,
    /// Values.
    Values,
}

impl Prefix {
    /// How many positions.
    pub fn tokens(&self) -> i64 {
        self.parameter.value.size()[0]
    }

    /// Width of keys, and of values.
    const fn width(&self) -> i64 {
        self.heads.key * self.heads.width
    }

    /// The first of the side's columns.
    const fn first(&self, side: Side) -> i64 {
        self.width()
            * match side {
                Side::Keys => 2 * self.layer,
                Side::Values => 2 * self.layer + 1,
            }
    }

    /// One side, rounded to `kind`: (key heads, tokens, width).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn side(&self, side: Side, kind: Kind) -> Result<Tensor> {
        let own = self.parameter.value.f_narrow(1, self.first(side), self.width())?;
        let by_head = own.f_reshape([self.tokens(), self.heads.key, self.heads.width])?;
        Ok(by_head.f_transpose(0, 1)?.f_to_kind(kind)?)
    }

    /// Adds the gradient of one side, (b, key heads, tokens, width) of each row of the batch or of all of them.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_gradient(&self, side: Side, g_bhtk: &Tensor, pass: &Pass) -> Result<()> {
        let of_rows = g_bhtk.f_to_kind(Kind::Float)?.f_transpose(1, 2)?;
        let grouped = of_rows.f_reshape([pass.groups(), -1, self.tokens(), self.width()])?;
        let sums = grouped.f_sum_dim_intlist(&[1_i64][..], false, Kind::Float)?;
        let columns = (self.first(side), self.parameter.value.size()[1]);
        pass.add_columns(&self.parameter, columns, &sums)
    }

    /// Attention `out` (n, heads width) of the sequence alone and its log sums (n, heads) become those over the prefix too.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn join(
        &self,
        qkv: &Tensor,
        (out, lse): (&Tensor, &Tensor),
        context: &Context<'_>,
        window: Option<i64>,
    ) -> Result<(Tensor, Tensor)> {
        let view = Views { heads: self.heads, groups: 1 };
        let kind = context.compute.kind;
        let (_, scores) = self.scores(qkv, view, context, window)?;
        let own = view.to_heads(lse)?;
        let whole = own.f_logaddexp(&scores.f_logsumexp(&[-1][..], true)?)?;
        let of_sequence = view.to_heads(out)?.f_mul(&own.f_sub(&whole)?.f_exp()?)?;
        let weights = scores.f_sub(&whole)?.f_exp()?;
        let values = view.spread(&self.side(Side::Values, kind)?)?;
        let joined = of_sequence.f_add(&weights.f_bmm(&values)?)?;
        let lse = view.to_rows(&whole)?.f_contiguous()?;
        Ok((view.to_rows(&joined)?.f_to_kind(out.kind())?.f_contiguous()?, lse))
    }

    /// For `dout` at what [`Prefix::join`] gave: adds to the gradients of keys and values, and those of the queries to `dqkv`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn join_backward(
        &self,
        dout: &Tensor,
        qkv: &Tensor,
        (out, lse): (&Tensor, &Tensor),
        dqkv: &Tensor,
        context: &Context<'_>,
        window: Option<i64>,
    ) -> Result<()> {
        let (pass, kind) = (context.pass, context.compute.kind);
        let view = Views { heads: self.heads, groups: pass.groups() };
        let (queries, scores) = self.scores(qkv, view, context, window)?;
        let weights = scores.f_sub(&view.to_heads(lse)?)?.f_exp()?;
        let dout = view.to_heads(dout)?;
        let along = dout.f_mul(&view.to_heads(out)?)?;
        let delta = along.f_sum_dim_intlist(&[-1_i64][..], true, Kind::Float)?;
        let values = view.spread(&self.side(Side::Values, kind)?)?;
        let dweights = dout.f_bmm(&values.f_transpose(1, 2)?)?;
        let scale = self.heads.scale();
        let dscores = weights.f_mul(&dweights.f_sub(&delta)?)?.f_mul_scalar(scale)?;
        let keys = view.spread(&self.side(Side::Keys, kind)?)?;
        let dqueries = view.to_rows(&dscores.f_bmm(&keys)?)?;
        let mut own = dqkv.f_narrow(1, 0, self.heads.query * self.heads.width)?;
        let _ = own.f_add_(&dqueries.f_to_kind(dqkv.kind())?)?;
        for (side, weights, rows) in
            [(Side::Keys, &dscores, &queries), (Side::Values, &weights, &dout)]
        {
            let gradient = weights.f_transpose(1, 2)?.f_bmm(rows)?;
            let shape = [self.heads.key, view.groups, self.tokens(), self.heads.width];
            self.add_gradient(side, &gradient.f_view(shape)?.f_transpose(0, 1)?, pass)?;
        }
        Ok(())
    }

    /// Queries by key head and their scaled products with the keys, minus infinity where a window has passed over them.
    fn scores(
        &self,
        qkv: &Tensor,
        view: Views,
        context: &Context<'_>,
        window: Option<i64>,
    ) -> Result<(Tensor, Tensor)> {
        let queries = view.to_heads(&qkv.f_narrow(1, 0, self.heads.query * self.heads.width)?)?;
        let keys = view.spread(&self.side(Side::Keys, context.compute.kind)?)?;
        let scores = queries.f_bmm(&keys.f_transpose(1, 2)?)?.f_mul_scalar(self.heads.scale())?;
        let Some(seen_bt) = context.sees_before(window, self.tokens())? else {
            return Ok((queries, scores));
        };
        let hidden = view.spread_rows(&seen_bt.f_logical_not()?)?;
        Ok((queries, scores.f_masked_fill(&hidden, f64::NEG_INFINITY)?))
    }
}

/// Rows of heads as batches of matrices: a key head and a group of rows each, whose rows are the positions' queries that read that key head.
#[derive(Debug, Clone, Copy)]
struct Views {
    heads: Heads,
    groups: i64,
}

impl Views {
    /// (n, heads c) to (key heads groups, n / groups heads / key heads, c), in fp32.
    fn to_heads(self, x: &Tensor) -> Result<Tensor> {
        let Heads { query, key, .. } = self.heads;
        let c = x.size()[1] / query;
        let split = x.f_to_kind(Kind::Float)?.f_reshape([self.groups, -1, key, query / key, c])?;
        Ok(split.f_permute([2, 0, 1, 3, 4])?.f_reshape([key * self.groups, -1, c])?)
    }

    /// The way back.
    fn to_rows(self, x: &Tensor) -> Result<Tensor> {
        let Heads { query, key, .. } = self.heads;
        let c = x.size()[2];
        let split = x.f_reshape([key, self.groups, -1, query / key, c])?;
        Ok(split.f_permute([1, 2, 0, 3, 4])?.f_reshape([-1, query * c])?)
    }

    /// (key heads, tokens, width) for each group, in fp32.
    fn spread(self, side: &Tensor) -> Result<Tensor> {
        let (key, tokens, width) = side.size3()?;
        let each = side.f_to_kind(Kind::Float)?.f_unsqueeze(1)?;
        let each = each.f_expand([key, self.groups, tokens, width], false)?;
        Ok(each.f_reshape([key * self.groups, tokens, width])?)
    }

    /// (n, tokens) for each head.
    fn spread_rows(self, x: &Tensor) -> Result<Tensor> {
        let (Heads { query, key, .. }, tokens) = (self.heads, x.size()[1]);
        let split = x.f_view([1, self.groups, -1, 1, tokens])?;
        let positions = split.size()[2];
        let each = split.f_expand([key, self.groups, positions, query / key, tokens], false)?;
        Ok(each.f_reshape([key * self.groups, -1, tokens])?)
    }
}

impl CausalLm {
    /// Puts keys and values of `tokens` positions before every sequence.
    ///
    /// # Errors
    /// As libtorch reports.
    pub(crate) fn attach_prefix(&mut self, tokens: i64, rng: &mut Rng) -> Result<()> {
        let config = self.config();
        let width = config.kv_heads * config.head_dim;
        let shape = vec![tokens, 2 * config.layers as i64 * width];
        let parameters = Parameters::zeros(vec![(NAME.to_string(), shape)], self.device())?;
        let drawn = self.drawn_tokens(tokens, rng)?;
        let real = Tensor::f_cat(&self.keys_and_values(&drawn)?, 1)?;
        for parameter in parameters.each()? {
            parameter.value.shallow_clone().f_copy_(&real)?;
            for (layer, block) in self.body.blocks.iter_mut().enumerate() {
                let (parameter, layer) = (parameter.share(), layer as i64);
                let heads = block.attention.heads;
                block.attention.prefix = Some(Prefix { parameter, layer, heads });
            }
        }
        self.set_parameters(parameters);
        Ok(())
    }

    /// Keys and values (t, c) of the tokens `ids_t` in the base model, rotated: of each block the keys, then the values.
    ///
    /// # Errors
    /// As libtorch reports.
    fn keys_and_values(&self, ids_t: &Tensor) -> Result<Vec<Tensor>> {
        let _no_grad = tch::no_grad_guard();
        let pass = Pass { adapter: false, dropout: None, units: None };
        let sequences = Sequences::whole(1, ids_t.size()[0] as usize);
        let layout = Layout::of(sequences, self.device())?;
        let mut x_nd = Tensor::f_embedding(&self.body.embed_vd, ids_t, -1, false, false)?;
        let rope = &self.config().rope;
        let rotation = rope.tables(&layout.position_ids, layout.positions, self.kind())?;
        let context = self.context(&layout, &rotation, &pass);
        let mut all = Vec::with_capacity(2 * self.body.blocks.len());
        for block in &self.body.blocks {
            let (next, kept) = block.forward(x_nd, &context)?;
            let Heads { query, key, width } = block.attention.heads;
            for start in [query, query + key] {
                all.push(kept.qkv().f_narrow(1, start * width, key * width)?.f_contiguous()?);
            }
            x_nd = next;
        }
        Ok(all)
    }
}
