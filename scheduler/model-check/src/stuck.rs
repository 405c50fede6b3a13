//! Whether a job can get stuck: from every state in which a client was told of its job, its end has to be reachable with no more faults
//! and without its owner's help.
//!
//! That is a statement about all paths and one future (AG EF), which a search for a bad state cannot decide; it takes the graph.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};

use stateright::Model;

use crate::action::Action;
use crate::world::{Protocol, World};

/// The name of this flaw.
pub const NAME: &str = "no job gets stuck";

/// States of the model from which no end is reachable, out of all that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// All states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Those that are stuck.
    pub stuck: usize,
    /// One of them, the first that was met.
    pub example: Option<World>,
}

/// Builds the whole graph and walks it backwards from the ends of the job.
pub fn search(model: Protocol) -> Stuck {
    let mut numbers = HashMap::new();
    let mut told = Vec::new();
    let mut ends = Vec::new();
    let mut backwards: Vec<(u32, u32)> = Vec::new();
    let mut steps = 0;
    let mut fresh = model.init_states();
    for world in &fresh {
        enter(&mut numbers, &mut told, &mut ends, world);
    }
    let mut actions = Vec::new();
    // Depth first: only what is still to be looked at is kept as a state, the rest as a number.
    while let Some(world) = fresh.pop() {
        let from = numbers[&fingerprint(&world)];
        model.actions(&world, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&world, action) else { continue };
            steps += 1;
            let (to, new) = enter(&mut numbers, &mut told, &mut ends, &next);
            // Nor does it count as a way out that the owner gives up.
            if !action.is_fault() && action != Action::Cancel {
                backwards.push((to, from));
            }
            if new {
                fresh.push(next);
            }
        }
    }
    let good = reach(&backwards, &ends, told.len());
    let is_stuck = |number: usize| told[number] && !good[number];
    let stuck = (0..told.len()).filter(|number| is_stuck(*number)).count();
    let example = (stuck > 0).then(|| find(model, &numbers, is_stuck)).flatten();
    Stuck { states: told.len(), steps, stuck, example }
}

/// Gives the state a number; whether it is a new one.
fn enter(
    numbers: &mut HashMap<u64, u32>,
    told: &mut Vec<bool>,
    ends: &mut Vec<u32>,
    world: &World,
) -> (u32, bool) {
    match numbers.entry(fingerprint(world)) {
        Entry::Occupied(entry) => (*entry.get(), false),
        Entry::Vacant(entry) => {
            let number = told.len() as u32;
            entry.insert(number);
            told.push(world.told);
            if world.job.is_some_and(|job| job.is_over()) {
                ends.push(number);
            }
            (number, true)
        }
    }
}

/// Which states reach one of `ends`. `backwards` holds the edges turned round.
fn reach(backwards: &[(u32, u32)], ends: &[u32], states: usize) -> Vec<bool> {
    let mut sorted = backwards.to_vec();
    sorted.sort_unstable();
    let mut good = vec![false; states];
    let mut open = ends.to_vec();
    for end in ends {
        good[*end as usize] = true;
    }
    while let Some(state) = open.pop() {
        let begin = sorted.partition_point(|(to, _)| *to < state);
        for (_, from) in sorted[begin..].iter().take_while(|(to, _)| *to == state) {
            if !std::mem::replace(&mut good[*from as usize], true) {
                open.push(*from);
            }
        }
    }
    good
}

/// Walks the graph once more for a state to show.
fn find(
    model: Protocol,
    numbers: &HashMap<u64, u32>,
    wanted: impl Fn(usize) -> bool,
) -> Option<World> {
    let mut seen = vec![false; numbers.len()];
    let mut fresh = std::collections::VecDeque::from(model.init_states());
    while let Some(world) = fresh.pop_front() {
        let number = numbers[&fingerprint(&world)] as usize;
        if std::mem::replace(&mut seen[number], true) {
            continue;
        }
        if wanted(number) {
            return Some(world);
        }
        fresh.extend(model.next_states(&world));
    }
    None
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
