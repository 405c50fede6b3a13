//! What a run hands back: a PEFT adapter or a whole model with its tokenizer, model card, figures and manifest.

pub mod card;
pub mod description;
pub mod directory;
pub mod integrity;
pub mod loading;
pub mod manifest;
pub mod model;
pub mod peft;
pub mod peft_config;
