//! What can be done to a store, by small numbers that name the same things in both.

use proptest::prelude::*;

/// One write. Numbers name things: job 3 is the fourth that was made, and belongs to tenant 3 % 2.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Document(Document),
    PutFile { file: u8, other: bool, audited: bool },
    DeleteFile { file: u8, foreign: bool },
    DeleteModel { model: u8, foreign: bool },
    Commit(Box<Change>),
    TicketSent { job: u8, seq: u64 },
    DeleteCheckpoint { checkpoint: u8 },
    ForgetAnswers { before: u8 },
    ForgetTenant { tenant: u8 },
}

/// A write of one document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) id: u8,
    pub(super) delete: bool,
    /// Whether the revision is the one that is there.
    pub(super) current: bool,
    pub(super) audited: bool,
}

/// What becomes of a job's state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    None,
    /// The next one on the way to an executor, and back.
    Forward,
    End,
}

/// A change of one job.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) job: u8,
    pub(super) current: bool,
    pub(super) step: Step,
    pub(super) events: u8,
    /// Whether its last event bears an id that others of this kind bear too.
    pub(super) repeats_event: bool,
    pub(super) checkpoint: Option<u8>,
    pub(super) model: Option<u8>,
    pub(super) result_file: Option<u8>,
    pub(super) erases: bool,
    pub(super) ticket: bool,
    pub(super) key: Option<u8>,
    pub(super) implied: bool,
    pub(super) live_max: Option<u32>,
    pub(super) usage_day: Option<i64>,
    pub(super) metadata: Option<u8>,
    pub(super) document: Option<Document>,
}

/// How many of each there may be by now: a refused write makes none, so it is a bound.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    jobs: u8,
    files: u8,
    documents: u8,
    checkpoints: u8,
    models: u8,
}

impl Made {
    pub(super) fn allows(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Document(document) => document.id <= self.documents,
            Operation::PutFile { file, .. } => *file <= self.files,
            Operation::DeleteFile { file, .. } => *file <= self.files,
            Operation::DeleteModel { model, .. } => *model <= self.models,
            Operation::Commit(change) => change.job <= self.jobs,
            Operation::TicketSent { job, .. } => *job <= self.jobs,
            Operation::DeleteCheckpoint { checkpoint } => *checkpoint <= self.checkpoints,
            Operation::ForgetAnswers { .. } | Operation::ForgetTenant { .. } => true,
        }
    }

    pub(super) fn after(mut self, operation: &Operation) -> Self {
        let counted = |count: &mut u8, index: u8| *count = (*count).max(index + 1);
        match operation {
            Operation::Document(document) => counted(&mut self.documents, document.id),
            Operation::PutFile { file, .. } => counted(&mut self.files, *file),
            Operation::Commit(change) => {
                counted(&mut self.jobs, change.job);
                change.checkpoint.iter().for_each(|index| counted(&mut self.checkpoints, *index));
                change.model.iter().for_each(|index| counted(&mut self.models, *index));
            }
            _ => {}
        }
        self
    }
}

/// Any operation that makes sense now. Writes of jobs are half of all.
pub(super) fn any(made: &Made) -> BoxedStrategy<Operation> {
    let bools = proptest::bool::ANY;
    prop_oneof![
        2 => document(0..=made.documents).prop_map(Operation::Document),
        2 => (0..=made.files, bools, bools)
            .prop_map(|(file, other, audited)| Operation::PutFile { file, other, audited }),
        1 => (0..=made.files, rarely()).prop_map(|(file, foreign)| Operation::DeleteFile { file, foreign }),
        1 => (0..=made.models, rarely()).prop_map(|(model, foreign)| Operation::DeleteModel { model, foreign }),
        8 => change(made).prop_map(|change| Operation::Commit(Box::new(change))),
        1 => (0..=made.jobs, 1_u64..4).prop_map(|(job, seq)| Operation::TicketSent { job, seq }),
        1 => (0..=made.checkpoints).prop_map(|checkpoint| Operation::DeleteCheckpoint { checkpoint }),
        1 => (0_u8..40).prop_map(|before| Operation::ForgetAnswers { before }),
        1 => (0_u8..2).prop_map(|tenant| Operation::ForgetTenant { tenant }),
    ]
    .boxed()
}

fn rarely() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.15)
}

fn mostly() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.85)
}

fn document(ids: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Document> {
    (ids, rarely(), mostly(), proptest::bool::ANY)
        .prop_map(|(id, delete, current, audited)| Document { id, delete, current, audited })
}

fn change(made: &Made) -> impl Strategy<Value = Change> + use<> {
    let step = prop_oneof![2 => Just(Step::None), 4 => Just(Step::Forward), 1 => Just(Step::End)];
    let what = (0..=made.jobs, mostly(), step, 0_u8..3, rarely());
    let made_by_it = (
        proptest::option::weighted(0.3, 0..=made.checkpoints),
        proptest::option::weighted(0.2, 0..=made.models),
        proptest::option::weighted(0.1, 0..=made.files),
        rarely(),
        proptest::bool::ANY,
    );
    let beside = (
        proptest::option::weighted(0.3, 0_u8..4),
        proptest::bool::ANY,
        proptest::option::weighted(0.2, 0_u32..4),
        proptest::option::weighted(0.3, 0_i64..3),
        proptest::option::weighted(0.5, 0_u8..3),
        proptest::option::weighted(0.2, document(0..=made.documents)),
    );
    (what, made_by_it, beside).prop_map(|(what, made_by_it, beside)| {
        let (job, current, step, events, repeats_event) = what;
        let (checkpoint, model, result_file, erases, ticket) = made_by_it;
        let (key, implied, live_max, usage_day, metadata, document) = beside;
        Change {
            job,
            current,
            step,
            events,
            repeats_event,
            checkpoint,
            model,
            result_file,
            erases,
            ticket,
            key,
            implied,
            live_max,
            usage_day,
            metadata,
            document,
        }
    })
}
