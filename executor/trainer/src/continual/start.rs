//! Before the first step of a stream: what the untrained model scores, and with it the order of the stages.

use trainyard_continual::StageName;
use trainyard_continual::stages::Order;
use trainyard_openapi::extension::StageOrder;

use crate::continual::adapter::Shape;
use crate::continual::columns::{Columns, MeasuredRow, mean};
use crate::continual::stream::Stream;
use crate::continual::{StreamState, matrices, refused};
use crate::error::Result;
use crate::train::history::Row;
use crate::train::session::Session;
use crate::train::state::Measured;

impl Stream<'_> {
    /// Measures what was before the first step, and decides the order; false where that was cut short.
    pub(super) fn start(&self, session: &mut Session<'_>) -> Result<bool> {
        let given: Vec<usize> = (0..self.stages.len()).collect();
        let new = Columns { stages: self.of_job(&given), held_out: self.held_out.clone() };
        session.model.set_adapter_enabled(false);
        let base = new.measure(session);
        session.model.set_adapter_enabled(true);
        let Some(base) = base? else { return Ok(false) };
        let parent = match self.earlier {
            Some(_) => match new.measure(session)? {
                Some(row) => Some(row),
                None => return Ok(false),
            },
            None => None,
        };
        let measured = new.stages.len() == self.stages.len();
        let difficulty = || base.stages.iter().map(|measured| measured.loss).collect();
        let order = match self.plan.order {
            _ if self.joint.is_some() || !measured => Order::AsGiven,
            StageOrder::AsGiven => Order::AsGiven,
            StageOrder::EasiestFirst => Order::EasiestFirst { difficulty: difficulty() },
            StageOrder::HardestFirst => Order::HardestFirst { difficulty: difficulty() },
            StageOrder::Shuffled => Order::Shuffled { seed: session.plan.seed },
        };
        let all = order.arrange(self.stages.len()).map_err(refused)?;
        let order = if self.joint.is_some() { vec![0] } else { all.clone() };
        let arranged = |row: &MeasuredRow| MeasuredRow {
            stages: match measured {
                true => all.iter().map(|&given| row.stages[given]).collect(),
                false => row.stages.clone(),
            },
            held_out: row.held_out,
        };
        let (base, parent) = (arranged(&base), parent.as_ref().map(arranged));
        let names: Vec<StageName> = self.of_job(&order).into_iter().map(|(name, _)| name).collect();
        let before = self.before_matrices();
        let mut begun = Vec::new();
        if !names.is_empty() {
            begun = matrices::begin(&before, &names, &base, parent.as_ref()).map_err(refused)?;
        } else if !before.available.is_empty() {
            session.events.log("warn", "the stage has no validation file: nothing is measured")?;
        }
        let before = self.earlier.iter().flat_map(|earlier| &earlier.stages);
        session.state.continual = Some(StreamState {
            order,
            stage: 0,
            begun: false,
            replays: false,
            first_step: 0,
            shape: Shape::of(session.adapter.settings.lora()?),
            matrices: begun,
            stages: before.map(|stage| stage.result.clone()).collect(),
            strategies: Vec::new(),
            before: None,
        });
        self.set_course(session)?;
        let first = parent.as_ref().unwrap_or(&base);
        let first: Vec<Measured> = match self.joint {
            Some(_) => first.stages.clone(),
            None => first.stages.iter().take(1).copied().collect(),
        };
        match mean(&first, 0) {
            Some(measured) => session.note(measured)?,
            None => session.state.history.push(Row::default()),
        }
        Ok(true)
    }

    fn before_matrices(&self) -> matrices::Before {
        let Some(earlier) = &self.earlier else { return matrices::Before::default() };
        let same = self.held_out.as_ref().map(|dataset| &dataset.sha256);
        matrices::Before {
            matrices: earlier.matrices.clone(),
            available: earlier.columns.iter().map(|(name, _)| name.clone()).collect(),
            same_held_out: same.is_some() && same == earlier.held_out_sha256.as_ref(),
        }
    }
}
