//! Spans of real processes at a receiver of OTLP: how they hang together, what is never in them, and that nobody waits for who takes them.

mod alone;
mod away;
mod collector;
mod together;
