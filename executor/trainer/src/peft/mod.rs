//! Parameter-efficient adapters. A method is one file here and one variant of `trainyard_plan::AdapterPlan`.

pub mod lora;
