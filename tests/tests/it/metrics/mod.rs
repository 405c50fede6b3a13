//! Metrics of a real server: what was agreed, what rules and dashboards ask for, in a form that Prometheus takes, and few of them.

mod agreed;
mod many;
mod parts;
mod prometheus;
pub(crate) mod scrape;
