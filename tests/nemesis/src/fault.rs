//! What may happen, and the course of a run: the same seed draws the same faults in the same order.

use std::time::Duration;

use crate::random::Random;

/// A way between processes that can be made bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// To the record.
    Redis,
    /// To the queue.
    Broker,
    /// To the objects.
    S3,
}

/// Something that happens. Each is healed before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a process that answers.
    KillApi,
    /// `kill -9` of a process that schedules.
    KillScheduler,
    /// `kill -9` of an agent.
    KillExecutor,
    /// `kill -9` of a trainer.
    KillTrainer,
    /// An agent and its trainers are held until others have their jobs, and go on.
    Zombie,
    /// `kill -9` of Redis.
    KillRedis,
    /// The same, and what no fsync covered is gone.
    PowerCut,
    /// `kill -9` of RabbitMQ, which comes back with what it had.
    RestartBroker,
    /// The same with nothing.
    WipeBroker,
    /// Every waiting ticket is gone.
    PurgeQueue,
    /// The queue is gone, under its consumers.
    DeleteQueue,
    /// Old tickets come once more, of jobs that run too.
    OldTickets,
    /// Connections are cut, new ones too.
    Cut(Link),
    /// Everything waits.
    Slow(Link),
    /// Connections end in the midst of something.
    After(Link),
    /// Requests arrive and answers do not.
    HalfClose(Link),
}

/// How often each is drawn. What takes long, as RabbitMQ does to start, comes seldom.
const WEIGHTS: &[(Fault, u32)] = &[
    (Fault::KillApi, 4),
    (Fault::KillScheduler, 4),
    (Fault::KillExecutor, 6),
    (Fault::KillTrainer, 6),
    (Fault::Zombie, 4),
    (Fault::KillRedis, 4),
    (Fault::PowerCut, 4),
    (Fault::RestartBroker, 1),
    (Fault::WipeBroker, 1),
    (Fault::PurgeQueue, 4),
    (Fault::DeleteQueue, 2),
    (Fault::OldTickets, 4),
    (Fault::Cut(Link::Redis), 2),
    (Fault::Cut(Link::Broker), 2),
    (Fault::Cut(Link::S3), 2),
    (Fault::Slow(Link::Redis), 1),
    (Fault::Slow(Link::S3), 1),
    (Fault::After(Link::Redis), 3),
    (Fault::After(Link::Broker), 2),
    (Fault::After(Link::S3), 2),
    (Fault::HalfClose(Link::Redis), 3),
    (Fault::HalfClose(Link::Broker), 1),
    (Fault::HalfClose(Link::S3), 2),
];

/// A fault of the course with what was drawn for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What happens.
    pub fault: Fault,
    /// To which of those it can happen to, modulo their number.
    pub whom: usize,
    /// How long it lasts, where that is free.
    pub lasts: Duration,
    /// How long nothing happens after it.
    pub calm: Duration,
}

/// The course of `count` faults that `seed` draws. The first ones are each fault once, so that none is left out of a short run that is
/// long enough for them.
pub fn course(seed: u64, count: usize) -> Vec<Planned> {
    let mut random = Random::new(seed);
    let mut first: Vec<Fault> = WEIGHTS.iter().map(|(fault, _)| *fault).collect();
    let sum: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let whole = count >= first.len();
    (0..count)
        .map(|_| {
            let fault = match whole && !first.is_empty() {
                true => first.swap_remove(random.below(first.len() as u64) as usize),
                false => drawn(random.below(u64::from(sum))),
            };
            Planned {
                fault,
                whom: random.below(1 << 16) as usize,
                lasts: Duration::from_millis(100 + random.below(900)),
                calm: Duration::from_millis(random.below(800)),
            }
        })
        .collect()
}

fn drawn(mut at: u64) -> Fault {
    for (fault, weight) in WEIGHTS {
        match at.checked_sub(u64::from(*weight)) {
            Some(rest) => at = rest,
            None => return *fault,
        }
    }
    WEIGHTS[0].0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_course_and_another_does_not() {
        assert_eq!(course(5, 100), course(5, 100));
        assert_ne!(course(5, 100), course(6, 100));
        let drawn = course(5, 60);
        assert!(WEIGHTS.iter().all(|(fault, _)| drawn.iter().any(|done| done.fault == *fault)));
    }
}
