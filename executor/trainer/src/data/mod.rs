//! From lines of text to batches of tokens. Plain vectors: no tensor, no device.
//!
//! Every row is accounted for: trained, or counted under a name in the [`report::DataReport`].

pub mod batch;
pub mod chat_template;
pub mod dataset;
pub mod encode;
pub mod packing;
pub mod python_json;
pub mod report;
pub mod sampler;
pub mod sequences;
pub mod tokenizer;

pub use batch::Batch;
pub use dataset::{Dataset, DatasetOptions};
pub use report::DataReport;
pub use sampler::Sampler;
pub use sequences::{Lengthened, Sequences};
pub use tokenizer::ChatTokenizer;
