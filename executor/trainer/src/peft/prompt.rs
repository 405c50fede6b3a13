//! Prompt tuning (arXiv 2104.08691): learned embeddings before each sequence, seen by all of it and not learned to be predicted.
//!
//! They are positions like others: the sequence's own begin after them. They start as the embeddings of tokens drawn from the vocabulary, which the
//! paper found better than random numbers, and PEFT calls `SAMPLE_VOCAB`. They are there between embedding and last norm alone: losses and logits are
//! of the positions that a batch has.

use tch::{Device, Kind, Tensor};

use crate::arch::{CausalLm, Layout};
use crate::data::{Lengthened, Sequences};
use crate::device;
use crate::error::Result;
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

    /// Where the positions of `sequences` go with the virtual tokens before each: found on the processor, for a model on `device`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn before(&self, sequences: &Sequences, device: Device) -> Result<Longer<'_>> {
        let Lengthened { sequences: longer, from, to, new, rows } =
            sequences.lengthened(self.tokens() as usize);
        let send = |numbers: &[i64]| -> Result<Tensor> {
            device::send(&Tensor::f_from_slice(numbers)?, device)
        };
        Ok(Longer {
            prompt: self,
            positions: (sequences.rows * sequences.length) as i64,
            layout: Layout::of(longer, device)?,
            from: send(&from)?,
            to: send(&to)?,
            new: send(&new)?,
            rows: send(&rows)?,
        })
    }
}

/// A batch with the virtual tokens before each of its sequences. Padding that is no sequence's has no place in it.
#[derive(Debug)]
pub struct Longer<'a> {
    prompt: &'a Prompt,
    /// Positions of all rows of the batch.
    positions: i64,
    /// How the positions belong together that there are now.
    pub layout: Layout,
    /// The batch's positions, and where each of them is now.
    from: Tensor,
    to: Tensor,
    /// Where the virtual tokens are, those of one sequence after those of another.
    new: Tensor,
    /// The row of each sequence.
    rows: Tensor,
}

impl Longer<'_> {
    /// What lies in `x_nd` at the batch's positions, where these are now; zeros elsewhere.
    ///
    /// # Errors
    /// As libtorch reports; so does everything here.
    pub fn spread(&self, x_nd: &Tensor) -> Result<Tensor> {
        let Sequences { rows, length, .. } = &self.layout.sequences;
        moved(x_nd, &self.from, &self.to, (rows * length) as i64)
    }

    /// The way back: (n, d) of the batch's positions, zeros where these are padding.
    pub fn of_batch(&self, x_nd: &Tensor) -> Result<Tensor> {
        moved(x_nd, &self.to, &self.from, self.positions)
    }

    /// The batch's embedded tokens `x_nd` with the learned embeddings before each sequence.
    pub fn embedded(&self, x_nd: &Tensor) -> Result<Tensor> {
        let learned_td = self.prompt.embeddings.value.f_to_kind(x_nd.kind())?;
        let all = learned_td.f_repeat([self.rows.size()[0], 1])?;
        Ok(self.spread(x_nd)?.f_index_copy_(0, &self.new, &all)?)
    }

    /// Adds the embeddings' gradient for `dx_nd`, that of what [`Longer::embedded`] gave.
    pub fn add_gradient(&self, dx_nd: &Tensor, pass: &Pass) -> Result<()> {
        let (tokens, d) = (self.prompt.tokens(), dx_nd.size()[1]);
        let own = dx_nd.f_index_select(0, &self.new)?.f_to_kind(Kind::Float)?;
        let mut each_std = own.f_view([-1, tokens, d])?;
        if pass.units.is_some() {
            // A row may hold several sequences.
            let shape = [pass.groups(), tokens, d];
            let mut of_rows = Tensor::f_zeros(shape, (Kind::Float, dx_nd.device()))?;
            each_std = of_rows.f_index_add_(0, &self.rows, &each_std)?;
        }
        pass.add_columns(&self.prompt.embeddings, (0, d), &each_std)
    }
}

/// Zeros (count, d) with the rows `from` of `x_nd` as their rows `to`.
fn moved(x_nd: &Tensor, from: &Tensor, to: &Tensor, count: i64) -> Result<Tensor> {
    let mut out = Tensor::f_zeros([count, x_nd.size()[1]], (x_nd.kind(), x_nd.device()))?;
    Ok(out.f_index_copy_(0, to, &x_nd.f_index_select(0, from)?)?)
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
        device::send(&Tensor::f_from_slice(&drawn)?, self.device())
    }
}
