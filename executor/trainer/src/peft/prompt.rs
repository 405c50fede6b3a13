//! Prompt tuning (arXiv 2104.08691): learned embeddings before each sequence, seen by all of it and not learned to be predicted.
//!
//! They are positions like others: the sequence's own begin after them. They start as the embeddings of tokens drawn from the vocabulary, which the
//! paper found better than random numbers, and PEFT calls `SAMPLE_VOCAB`. In a batch they are tokens with negative ids, -1 for the first.

use tch::{Kind, Tensor};

use crate::arch::{CausalLm, ModelBatch};
use crate::error::Result;
use crate::objective::cross_entropy::IGNORED;
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::Pass;
use crate::rng::Rng;

/// The parameter's name, which prefix tuning has too.
pub const NAME: &str = "prompt_embeddings";

/// The embeddings before each sequence.
#[derive(Debug)]
pub struct Prompt {
    /// (tokens, d).
    embeddings: Parameter,
}

impl Prompt {
    fn tokens(&self) -> i64 {
        self.embeddings.value.size()[0]
    }

    /// `batch` with the virtual tokens before each of its sequences.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn lengthened(&self, batch: &ModelBatch) -> Result<ModelBatch> {
        match &batch.segment_ids {
            Some(segments) => self.lengthened_packed(batch, segments),
            None => {
                let (rows, device) = (batch.input_ids.size()[0], batch.input_ids.device());
                let options = (Kind::Int64, device);
                let places = Tensor::f_arange(self.tokens(), options)?.f_unsqueeze(0)?;
                let before = |own: &Tensor, rest: &Tensor| -> Result<Tensor> {
                    let own = own.f_expand([rest.size()[0], -1], false)?;
                    Ok(Tensor::f_cat(&[&own, rest], 1)?)
                };
                let unlearned = Tensor::f_full([rows, self.tokens()], IGNORED, options)?;
                let positions = batch.position_ids.f_add_scalar(self.tokens())?;
                Ok(ModelBatch {
                    input_ids: before(&places.f_neg()?.f_sub_scalar(1)?, &batch.input_ids)?,
                    labels: before(&unlearned, &batch.labels)?,
                    position_ids: before(&places, &positions)?,
                    segment_ids: None,
                })
            }
        }
    }

    /// Each sequence of a packed row gets its own. Rows are padded anew: they hold unequal numbers of sequences.
    fn lengthened_packed(&self, batch: &ModelBatch, segments: &Tensor) -> Result<ModelBatch> {
        let (rows, length) = batch.input_ids.size2()?;
        let list = |tensor: &Tensor| -> Result<Vec<i64>> {
            Ok(tensor.f_expand([rows, length], false)?.f_reshape([-1])?.try_into()?)
        };
        let (ids, labels) = (list(&batch.input_ids)?, list(&batch.labels)?);
        let (positions, segments) = (list(&batch.position_ids)?, list(segments)?);
        // Id, label, position and segment of each token.
        let mut longer: Vec<Vec<[i64; 4]>> = Vec::with_capacity(rows as usize);
        for row in 0..rows {
            let mut tokens = Vec::with_capacity((length + self.tokens()) as usize);
            let first = (row * length) as usize;
            for at in first..first + length as usize {
                let segment = segments[at];
                let begins = at == first || segments[at - 1] != segment;
                if begins && segment != 0 {
                    tokens.extend(
                        (0..self.tokens()).map(|place| [-1 - place, IGNORED, place, segment]),
                    );
                }
                let position = if segment == 0 { 0 } else { positions[at] + self.tokens() };
                tokens.push([ids[at], labels[at], position, segment]);
            }
            longer.push(tokens);
        }
        let longest = longer.iter().map(Vec::len).max().unwrap_or(0);
        let padding = [ids.last().copied().unwrap_or(0).max(0), IGNORED, 0, 0];
        for tokens in &mut longer {
            tokens.resize(longest, padding);
        }
        let column = |column: usize| -> Result<Tensor> {
            let values: Vec<i64> = longer.iter().flatten().map(|token| token[column]).collect();
            let tensor = Tensor::f_from_slice(&values)?.f_view([rows, longest as i64])?;
            Ok(tensor.f_to_device(batch.input_ids.device())?)
        };
        Ok(ModelBatch {
            input_ids: column(0)?,
            labels: column(1)?,
            position_ids: column(2)?,
            segment_ids: Some(column(3)?),
        })
    }

    /// Embeddings (n, d) of tokens `ids_n`, virtual ones among them.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn embedded(&self, embed_vd: &Tensor, ids_n: &Tensor) -> Result<Tensor> {
        let mut x_nd = Tensor::f_embedding(embed_vd, &ids_n.f_clamp_min(0)?, -1, false, false)?;
        let (places, tokens) = virtual_ones(ids_n)?;
        let own = self.embeddings.value.f_to_kind(x_nd.kind())?.f_index_select(0, &tokens)?;
        Ok(x_nd.f_index_copy_(0, &places, &own)?)
    }

    /// Adds the gradient for `dx_nd`, that of what [`Prompt::embedded`] gave for the batch of `ids_bt`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_gradient(&self, ids_bt: &Tensor, dx_nd: &Tensor, pass: &Pass) -> Result<()> {
        let (groups, tokens, d) = (pass.groups(), self.tokens(), dx_nd.size()[1]);
        let (places, of_tokens) = virtual_ones(&ids_bt.f_reshape([-1])?)?;
        let group = places.f_floor_divide_scalar(dx_nd.size()[0] / groups)?;
        let slots = group.f_mul_scalar(tokens)?.f_add(&of_tokens)?;
        let mut sums = Tensor::f_zeros([groups * tokens, d], (Kind::Float, dx_nd.device()))?;
        let own = dx_nd.f_index_select(0, &places)?.f_to_kind(Kind::Float)?;
        let sums = sums.f_index_add_(0, &slots, &own)?.f_view([groups, tokens, d])?;
        pass.add_columns(&self.embeddings, (0, d), &sums)
    }
}

/// Where the virtual tokens are, and which they are.
fn virtual_ones(ids_n: &Tensor) -> Result<(Tensor, Tensor)> {
    let places = ids_n.f_lt(0)?.f_nonzero()?.f_reshape([-1])?;
    let tokens = ids_n.f_index_select(0, &places)?.f_neg()?.f_sub_scalar(1)?;
    Ok((places, tokens))
}

impl CausalLm {
    /// Puts `tokens` embeddings before every sequence.
    ///
    /// # Errors
    /// As libtorch reports.
    pub(crate) fn attach_prompt(&mut self, tokens: i64, rng: &mut Rng) -> Result<()> {
        let shape = vec![tokens, self.config().hidden_size];
        let parameters = Parameters::zeros(vec![(NAME.to_string(), shape)], self.device())?;
        let drawn = self.drawn_tokens(tokens, rng)?;
        for embeddings in parameters.each()? {
            embeddings
                .value
                .shallow_clone()
                .f_copy_(&self.body.embed_vd.f_index_select(0, &drawn)?)?;
            self.prompt = Some(Prompt { embeddings });
        }
        self.set_parameters(parameters);
        Ok(())
    }

    /// Tokens of the vocabulary that learned positions start as.
    pub(crate) fn drawn_tokens(&self, tokens: i64, rng: &mut Rng) -> Result<Tensor> {
        let vocabulary = self.config().vocab_size as u64;
        let drawn: Vec<i64> = (0..tokens).map(|_| rng.below(vocabulary) as i64).collect();
        Ok(Tensor::f_from_slice(&drawn)?.f_to_device(self.device())?)
    }
}
