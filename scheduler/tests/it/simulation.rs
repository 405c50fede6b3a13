//! Many jobs, lossy queues, dying and undead executors, restarts and owners who change their minds, in an order that a seed
//! repeats. After each step nothing that was promised is broken; once the trouble stops, every job comes to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use trainyard_openapi::id::{FileId, JobId};
use trainyard_openapi::job::{JobError, JobStatus};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_scheduler::IdempotencyKey;
use trainyard_scheduler::job::{JobRecord, JobState};
use trainyard_scheduler::port::control_plane::{ControlPlane, LeaseError, ReleaseReason};
use trainyard_scheduler::port::queue::Ticket;

use crate::random::Random;
use crate::redis::server::Server;
use crate::world::{LINES, Run, World, config, progress, request};

pub(crate) const SLOTS: u32 = 2;
const JOBS: usize = 6;
const STEPS: usize = 250;
/// Simulations on Redis: each step waits for a disk.
const REDIS_SEEDS: u64 = 8;

pub(crate) struct Simulation {
    world: World,
    random: Random,
    /// How long is waited for a ticket.
    patience: Duration,
    begun_ms: i64,
    file: FileId,
    jobs: Vec<JobId>,
    /// Every ticket that ever was: old ones come again.
    tickets: Vec<Ticket>,
    /// Every run that ever was: dead ones speak again.
    runs: Vec<Run>,
    seen: BTreeMap<String, (JobRecord, usize)>,
    /// Definite answers of each kind, so that a simulation that does nothing is noticed.
    pub(crate) accepted: u32,
    pub(crate) fenced: u32,
}

impl Simulation {
    /// Trouble in the order of the seed, then none until all have ended.
    pub(crate) async fn run(seed: u64, world: World, patience: Duration) -> Self {
        println!("seed {seed}");
        let mut simulation = Self {
            begun_ms: world.now_ms(),
            file: world.upload(&world.ctx, LINES).await,
            world,
            random: Random::new(seed),
            patience,
            jobs: Vec::new(),
            tickets: Vec::new(),
            runs: Vec::new(),
            seen: BTreeMap::new(),
            accepted: 0,
            fenced: 0,
        };
        for _ in 0..STEPS {
            simulation.step().await;
            simulation.check().await;
        }
        simulation.heal().await;
        simulation
    }

    /// Jobs that came to a result.
    pub(crate) async fn succeeded(&self) -> usize {
        self.world.store.models(self.world.ctx.tenant()).await.unwrap().len()
    }

    async fn step(&mut self) {
        match self.random.below(20) {
            0 | 1 => self.submit().await,
            2..=5 => self.world.tick().await,
            6..=8 => self.take_ticket().await,
            9 => self.claim_some_ticket().await,
            10..=12 => self.let_a_run_speak().await,
            13 => self.let_a_run_end().await,
            14 | 15 => self.owner_changes_mind().await,
            16 | 17 => self.world.clock.advance_seconds(1 + self.random.below(40) as i64),
            18 if self.random.below(3) == 0 => {
                self.world.clock.advance_seconds(100);
                self.world.tick().await;
            }
            19 if self.random.below(8) == 0 => {
                self.world.forget_process();
                self.world.scheduler.recover_embedded().await.unwrap();
            }
            _ => {}
        }
    }

    async fn submit(&mut self) {
        let number = self.random.below(JOBS);
        let key = IdempotencyKey { key: number.to_string(), request_sha256: "a".into() };
        let request = request(&self.file, json!({}));
        let job = self.world.scheduler.submit(&self.world.ctx, request, Some(key)).await.unwrap();
        if !self.jobs.contains(&job.id) {
            self.jobs.push(job.id);
        }
        assert!(self.jobs.len() <= JOBS, "a key made two jobs");
    }

    async fn take_ticket(&mut self) {
        let mut consumer = self.world.queue.consume("default").await.unwrap();
        let next = tokio::time::timeout(self.patience, consumer.next()).await;
        let Ok(Ok(Some(ticket))) = next else { return };
        self.tickets.push(ticket.clone());
        match self.random.below(6) {
            // The consumer dies with it: it goes back.
            0 => return,
            // It is lost.
            1 => consumer.ack().await.unwrap(),
            // It comes twice.
            2 => {
                consumer.ack().await.unwrap();
                self.world.queue.publish(&ticket).await.unwrap();
            }
            _ => consumer.ack().await.unwrap(),
        }
        self.claim(&ticket).await;
    }

    async fn claim_some_ticket(&mut self) {
        if !self.tickets.is_empty() {
            let ticket = self.random.pick(&self.tickets).clone();
            self.claim(&ticket).await;
        }
    }

    async fn claim(&mut self, ticket: &Ticket) {
        match self.world.claim(ticket).await {
            Ok(run) => {
                let record = self.world.record(&ticket.job).await;
                assert_eq!((record.seq, record.epoch), (ticket.seq, run.lease().epoch));
                assert_eq!(record.checkpoint, run.claim.checkpoint);
                self.runs.push(run);
            }
            Err(LeaseError::Stale) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// One of the newest or one of all: the first are often alive, the others are not.
    fn some_run(&mut self) -> Option<Run> {
        let newest = self.runs.len().saturating_sub(SLOTS as usize);
        let from = if self.random.below(3) > 0 { newest } else { 0 };
        (!self.runs.is_empty()).then(|| self.random.pick(&self.runs[from..]).clone())
    }

    async fn let_a_run_speak(&mut self) {
        let Some(run) = self.some_run() else { return };
        let before = self.world.record(&run.lease().job).await;
        let from = before.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let step = from + self.random.below(3) as u64;
        let answer = match self.random.below(3) {
            0 => run.beat(step).await.map(|_| ()),
            1 => self.world.scheduler.report(run.lease(), &progress(step), 0, vec![]).await,
            _ => run.checkpoint(step).await.map(|_| ()),
        };
        self.judge(&run, &before, answer).await;
    }

    async fn let_a_run_end(&mut self) {
        let Some(run) = self.some_run() else { return };
        let before = self.world.record(&run.lease().job).await;
        let error = JobError { code: JobErrorCode::EngineError, message: "y".into(), param: None };
        let scheduler = &self.world.scheduler;
        let answer = match self.random.below(8) {
            0 | 1 => run.complete().await,
            2 => scheduler.fail(run.lease(), &error, true).await,
            3 if self.random.below(3) == 0 => scheduler.fail(run.lease(), &error, false).await,
            4 => scheduler.release(run.lease(), ReleaseReason::Preempted).await,
            5 => scheduler.release(run.lease(), ReleaseReason::Cancelled).await,
            6 => scheduler.release(run.lease(), ReleaseReason::Paused).await,
            _ => scheduler.release(run.lease(), ReleaseReason::Shutdown).await,
        };
        self.judge(&run, &before, answer).await;
    }

    /// Who held the lease was heard, and nobody else.
    async fn judge(&mut self, run: &Run, before: &JobRecord, answer: Result<(), LeaseError>) {
        let held = before.state.lease().is_some_and(|lease| lease.nonce == run.lease().nonce);
        let after = self.world.record(&run.lease().job).await;
        match answer {
            Ok(()) if held => self.accepted += 1,
            // A completion that is repeated is not done again.
            Ok(()) => {
                assert!(matches!(before.state, JobState::Succeeded { .. }));
                assert_eq!((before.epoch, before), (run.lease().epoch, &after));
            }
            Err(LeaseError::Fenced) => {
                let cancelled = held && matches!(after.state, JobState::Cancelled { .. });
                assert!(!held || cancelled, "the holder of the lease was fenced");
                self.fenced += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }

    async fn owner_changes_mind(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let id = self.random.pick(&self.jobs).clone();
        let (scheduler, ctx) = (&self.world.scheduler, &self.world.ctx);
        // Refusals are as good as consents here; what they leave is looked at after each step.
        match self.random.below(9) {
            0 => {
                let cancel = scheduler.cancel(ctx, &id);
                let _ = tokio::time::timeout(Duration::ZERO, cancel).await;
            }
            1..=3 => drop(scheduler.pause(ctx, &id).await),
            _ => drop(scheduler.resume(ctx, &id).await),
        }
    }

    async fn check(&mut self) {
        let (mut taken, mut succeeded) = (0, 0);
        for id in &self.jobs {
            let job = self.world.record(id).await;
            let messages = self.world.messages(id).await;
            taken += u32::from(matches!(
                job.state,
                JobState::Running { .. } | JobState::Dispatched { .. }
            ));
            if let Some((before, events)) = self.seen.get(id.as_str()) {
                assert!(job.rev >= before.rev && job.seq >= before.seq);
                assert!(job.epoch >= before.epoch && messages.len() >= *events);
                let step = |job: &JobRecord| job.checkpoint.as_ref().map(|pointer| pointer.step);
                assert!(step(&job) >= step(before), "the checkpoint fell back");
                assert!(job.running_seconds >= before.running_seconds);
                if before.state.status().is_terminal() {
                    assert_eq!((&job, messages.len()), (before, *events), "an end is an end");
                }
            }
            let known = self.seen.get(id.as_str()).is_some_and(|(before, _)| *before == job);
            let elapsed = (self.world.now_ms() - self.begun_ms) as f64 / 1000.0;
            assert!(job.running_seconds <= elapsed, "charged more than there was");
            let ends = ["The job has successfully", "The job was cancelled", "The job failed"];
            let ended = messages.iter().filter(|text| ends.iter().any(|end| text.starts_with(end)));
            assert_eq!(
                ended.count(),
                usize::from(job.state.status().is_terminal()),
                "{messages:?}"
            );
            if let JobState::Succeeded { model, result_file, .. } = &job.state {
                succeeded += 1;
                if !known {
                    self.check_result(model, result_file).await;
                }
            }
            if let Some(pointer) = &job.checkpoint
                && !job.state.status().is_terminal()
            {
                let manifest = format!("{}/manifest.json", pointer.prefix);
                self.world.objects.size(&manifest).await.expect("the checkpoint is there");
            }
            self.seen.insert(id.to_string(), (job, messages.len()));
        }
        assert!(taken <= SLOTS, "{taken} of {SLOTS} slots");
        let models = self.world.store.models(self.world.ctx.tenant()).await.unwrap();
        assert_eq!(models.len(), succeeded, "one model for each job that succeeded");
    }

    /// A result is whole: every file that it names can be had.
    async fn check_result(&self, model: &str, result_file: &FileId) {
        let (scheduler, ctx) = (&self.world.scheduler, &self.world.ctx);
        for artifact in scheduler.artifacts(ctx, model).await.unwrap().data {
            let answer = scheduler.artifact(ctx, model, &artifact.name).await;
            assert!(answer.is_ok(), "{}", artifact.name);
        }
        scheduler.read_file(ctx, result_file).await.map(|_| ()).unwrap();
    }

    /// No more trouble: every job ends.
    async fn heal(&mut self) {
        for _ in 0..JOBS * 12 {
            let mut all_ended = true;
            for id in &self.jobs {
                match self.world.status(id).await {
                    JobStatus::Paused => {
                        self.world.scheduler.resume(&self.world.ctx, id).await.unwrap();
                        all_ended = false;
                    }
                    status => all_ended &= status.is_terminal(),
                }
            }
            if all_ended {
                return;
            }
            self.world.pass(100).await;
            while let Some(ticket) = self.world.ticket().await {
                if let Ok(run) = self.world.claim(&ticket).await {
                    run.complete().await.unwrap();
                }
            }
            self.check().await;
        }
        panic!("a job did not end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens() {
    let (mut accepted, mut fenced, mut succeeded) = (0, 0, 0);
    for seed in 1..=80 {
        let ended = Simulation::run(seed, World::new(SLOTS).await, Duration::ZERO).await;
        accepted += ended.accepted;
        fenced += ended.fenced;
        succeeded += ended.succeeded().await;
    }
    println!("{accepted} words accepted, {fenced} fenced, {succeeded} jobs succeeded");
    assert!(accepted > 250 && fenced > 250 && succeeded > 50, "too little has happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_record_in_redis() {
    let server = Server::durable();
    let (mut accepted, mut fenced, mut succeeded) = (0, 0, 0);
    for seed in 1..=REDIS_SEEDS {
        let world = World::in_redis(&server, &format!("seed{seed}"), config(SLOTS)).await;
        let ended = Simulation::run(seed, world, Duration::ZERO).await;
        accepted += ended.accepted;
        fenced += ended.fenced;
        succeeded += ended.succeeded().await;
    }
    println!("{accepted} words accepted, {fenced} fenced, {succeeded} jobs succeeded");
    assert!(accepted > 25 && fenced > 25 && succeeded > 5, "too little has happened");
}
