//! What a run hands back: a PEFT adapter with its tokenizer, model card, figures and manifest.

pub mod card;
pub mod description;
pub mod directory;
pub mod integrity;
pub mod loading;
pub mod manifest;
pub mod peft;
pub mod peft_config;
