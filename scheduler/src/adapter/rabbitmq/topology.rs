//! The queues: their names and arguments. Arguments of an existing queue cannot be changed (the broker answers 406), so they are
//! few and fixed.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use super::fault::{Fault, answer};

/// What is no ticket is kept here for the operator to look at.
pub(super) const DEAD_LETTERS: &str = "trainyard.dead-letters";
/// The oldest make room.
const DEAD_LETTERS_MAX: i32 = 10_000;
/// Deliveries of one message that may end without an answer: after that it is most likely what ends them. RabbitMQ 3 knows no
/// limit by itself, 4 has this one.
const DELIVERIES_MAX: i32 = 20;
/// The longest name of a queue in bytes.
const NAME_MAX: usize = 255;

/// The queue of a pool.
///
/// # Errors
/// A pool whose name is too long.
pub(super) fn queue_of(pool: &str) -> Result<String, Fault> {
    let queue = format!("trainyard.tickets.{pool}");
    if queue.len() > NAME_MAX {
        let most = NAME_MAX - (queue.len() - pool.len());
        let text = format!("pool '{pool}': a name of {} bytes; at most {most}", pool.len());
        return Err(Fault::Refused(text));
    }
    Ok(queue)
}

/// Declares a queue of tickets, and the one for dead letters. Declaring what is there changes nothing.
pub(super) async fn declare(channel: &Channel, queue: &str) -> Result<(), Fault> {
    let mut dead = quorum();
    dead.insert("x-max-length".into(), AMQPValue::LongInt(DEAD_LETTERS_MAX));
    let mut tickets = quorum();
    tickets.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERIES_MAX));
    // By the default exchange; at least once, which asks for the overflow behaviour.
    for (name, value) in [
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", DEAD_LETTERS),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ] {
        tickets.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    for (name, arguments) in [(DEAD_LETTERS, dead), (queue, tickets)] {
        let declared =
            channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments);
        answer("queue.declare", declared).await?;
    }
    Ok(())
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}
