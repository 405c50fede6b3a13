//! A ticket as a message: JSON, persistent, named `job:seq`.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::port::queue::Ticket;

/// Far more than a ticket takes: what is larger is not even parsed.
const BYTES_MAX: usize = 2048;
/// Written to disk before it is confirmed.
const PERSISTENT: u8 = 2;

/// The message's content.
///
/// # Errors
/// Where it cannot be written as JSON.
pub(super) fn encode(ticket: &Ticket) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(ticket)
}

/// The message's properties.
pub(super) fn properties(ticket: &Ticket) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(trace) = &ticket.traceparent {
        // A string, as tracing libraries of other languages look for it.
        headers.insert("traceparent".into(), AMQPValue::LongString(trace.as_str().into()));
    }
    BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(format!("{}:{}", ticket.job, ticket.seq).into())
        .with_app_id("trainyard".into())
}

/// The ticket that a message of the pool holds. Keys that a later version added are passed over.
///
/// # Errors
/// What is no ticket, or one of another pool, in words for the log.
pub(super) fn decode(content: &[u8], pool: &str) -> Result<Ticket, String> {
    if content.len() > BYTES_MAX {
        return Err(format!("{} bytes, where a ticket has at most {BYTES_MAX}", content.len()));
    }
    let ticket: Ticket = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if ticket.pool != pool {
        return Err(format!("a ticket of pool '{}' in the queue of '{pool}'", ticket.pool));
    }
    Ok(ticket)
}
