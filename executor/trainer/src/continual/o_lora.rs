//! O-LoRA (Wang et al., 2023): every stage adds a block of rank to the adapter. Earlier blocks stay as they are, and the new one's A is kept
//! orthogonal to theirs: `orthogonality sum over layers |A_prev A_new^T| + norm sum over tensors ||new||`.

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::OLora as Settings;
use trainyard_openapi::limits::RANK_MAX;

use crate::continual::adapter::{Shape, fresh, is_a, laid_out, lay, layout};
use crate::continual::{Adapter, Strategy, Tools};
use crate::error::{Result, TrainerError};
use crate::nn::compute::copied;
use crate::optim::parameters::Parameters;
use crate::peft::AdapterSettings;
use crate::rng::Rng;
use crate::run::INIT_STREAM;
use crate::weights::WeightSource;

/// The blocks by their ranks.
#[derive(Debug)]
pub struct OLora {
    settings: Settings,
    /// Rank of what earlier stages learned: it does not change.
    frozen: i64,
    /// Rank of what stages that are over have learned.
    learned: i64,
    /// 1 where a parameter is trained and 0 where not, and the parameters as the stage began.
    held: Option<(Tensor, Tensor)>,
}

/// The penalty on the rank from `frozen` on, which it adds the gradient of to `parameters`'.
///
/// # Errors
/// As libtorch reports.
pub fn penalty(parameters: &Parameters, frozen: i64, settings: &Settings) -> Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let gradients = parameters.views(&parameters.gradients)?;
    let mut total = 0.0;
    for ((name, value), gradient) in parameters.named()?.into_iter().zip(gradients) {
        let of_rank = i64::from(!is_a(&name));
        let new_rank = value.size()[of_rank as usize] - frozen;
        let new = value.f_narrow(of_rank, frozen, new_rank)?;
        let mut new_gradient = gradient.f_narrow(of_rank, frozen, new_rank)?;
        if is_a(&name) && settings.orthogonality != 0.0 {
            let before = value.f_narrow(0, 0, frozen)?;
            let products = before.f_mm(&new.f_transpose(0, 1)?)?;
            let sum = products.f_abs()?.f_sum(Kind::Double)?.f_double_value(&[])?;
            total += settings.orthogonality * sum;
            let pull = products.f_sign()?.f_transpose(0, 1)?.f_mm(&before)?;
            let _ = new_gradient.f_add_(&pull.f_mul_scalar(settings.orthogonality)?)?;
        }
        if settings.norm != 0.0 {
            let norm = new.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?.sqrt();
            total += settings.norm * norm;
            // At zero, where every fresh B is, the norm has no gradient; torch takes 0 for it.
            if norm > 0.0 {
                let _ = new_gradient.f_add_(&new.f_mul_scalar(settings.norm / norm)?)?;
            }
        }
    }
    Ok(total)
}

impl OLora {
    /// Without a block yet.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), frozen: 0, learned: 0, held: None }
    }

    /// Which parameters are trained, and what all were as the stage began.
    fn held(&mut self, tools: &Tools<'_>) -> Result<&(Tensor, Tensor)> {
        let held = match self.held.take() {
            Some(held) => held,
            None => {
                let mask = layout(tools.model.parameters(), tools.settings.rank)?;
                for (name, tensor) in mask.named()? {
                    let of_rank = i64::from(!is_a(&name));
                    let new = tensor.size()[of_rank as usize] - self.frozen;
                    let _ = tensor.f_narrow(of_rank, self.frozen, new)?.f_fill_(1.0)?;
                }
                (mask.values.f_to_kind(Kind::Bool)?, copied(&tools.values())?)
            }
        };
        Ok(self.held.insert(held))
    }
}

impl Strategy for OLora {
    fn adopt(&mut self, tools: &Tools<'_>, _: u32) -> Result<()> {
        self.learned = tools.settings.rank;
        Ok(())
    }

    fn before_stage(&mut self, tools: &Tools<'_>) -> Result<Option<Adapter>> {
        (self.frozen, self.held) = (self.learned, None);
        if self.frozen == 0 {
            return Ok(None);
        }
        let planned = AdapterSettings::of(&tools.plan.adapter).lora()?.clone();
        let rank = self.frozen + planned.rank;
        if rank > i64::from(RANK_MAX) {
            let message = format!(
                "trainyard.adapter.rank: o_lora would make an adapter of rank {rank} in stage {}, at most {RANK_MAX} is possible",
                tools.stage.number + 1
            );
            let param = Some("trainyard.adapter.rank".to_string());
            return Err(TrainerError::request(ErrorCode::InvalidValue, param, message));
        }
        // All blocks are scaled as the plan scales one.
        let scale = planned.scale();
        let alpha = scale * if planned.rslora { (rank as f64).sqrt() } else { rank as f64 };
        let shape = Shape { rank, alpha, rslora: planned.rslora };
        let change = tools.settings.scale() / scale;
        let change = if (change - 1.0).abs() < 1e-12 { 1.0 } else { change };
        let parameters = tools.model.parameters();
        let whole = layout(parameters, rank)?;
        lay(&whole, &laid_out(parameters, self.frozen, &tools.values())?, 0, change)?;
        let mut rng = Rng::new(tools.plan.seed, INIT_STREAM).fork(u64::from(tools.stage.number));
        lay(&whole, &fresh(parameters, planned.rank, &mut rng)?, self.frozen, 1.0)?;
        Ok(Some(Adapter { settings: shape.put_on(tools.settings), values: whole.values }))
    }

    fn before_update(&mut self, tools: &Tools<'_>) -> Result<()> {
        if self.frozen == 0 {
            return Ok(());
        }
        penalty(tools.model.parameters(), self.frozen, &self.settings)?;
        let (mask, _) = self.held(tools)?;
        let _ = tools.gradient().f_mul_(mask)?;
        Ok(())
    }

    fn after_update(&mut self, tools: &Tools<'_>) -> Result<()> {
        if self.frozen == 0 {
            return Ok(());
        }
        // Weight decay moves what has no gradient too.
        let (mask, before) = self.held(tools)?;
        let mut values = tools.values();
        values.f_copy_(&values.f_where_self(mask, before)?)?;
        Ok(())
    }

    fn after_stage(&mut self, tools: &Tools<'_>) -> Result<bool> {
        self.learned = tools.settings.rank;
        Ok(true)
    }

    fn state(&self) -> Result<Value> {
        Ok(json!({ "frozen": self.frozen, "learned": self.learned }))
    }

    fn load(&mut self, state: &Value, _: &dyn WeightSource) -> Result<()> {
        let rank = |name: &str| {
            state[name].as_i64().ok_or_else(|| {
                TrainerError::Checkpoint(format!("the state of o_lora has no rank '{name}'"))
            })
        };
        (self.frozen, self.learned, self.held) = (rank("frozen")?, rank("learned")?, None);
        Ok(())
    }
}
