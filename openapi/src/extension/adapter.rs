//! What is trained: an adapter on top of the frozen base model, or the model.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

/// What is trained. A setting that the method does not have must be left out, and is left out of the answer.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adapter {
    /// Which method.
    #[serde(rename = "type")]
    pub kind: AdapterKind,
    /// Rank r of the update, 1 to 512.
    #[schema(minimum = 1, maximum = 512)]
    pub rank: u32,
    /// Scale of the update: alpha / r, or alpha / sqrt(r) with `rslora`.
    pub alpha: f64,
    /// Probability of dropping an input of the adapter while training, 0 to below 1.
    pub dropout: f64,
    /// The linear layers that get an adapter. With `ia3`, "all-linear" is PEFT's choice for the architecture.
    #[schema(schema_with = target_modules)]
    pub target_modules: TargetModules,
    /// Rank-stabilised scaling (arXiv 2312.03732).
    pub rslora: bool,
    /// Of the adapted layers, those whose input is rescaled and not their output, each by a name in `target_modules`; null: the one that leads out
    /// of the MLP.
    pub feedforward_modules: Option<Vec<String>>,
    /// Learned positions before each sequence, 1 to 1024. They count against `sequence.max_length`.
    #[schema(minimum = 1, maximum = 1024)]
    pub num_virtual_tokens: u32,
}

impl Default for Adapter {
    fn default() -> Self {
        Self {
            kind: AdapterKind::Lora,
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            target_modules: TargetModules::AllLinear,
            rslora: false,
            feedforward_modules: None,
            num_virtual_tokens: 20,
        }
    }
}

/// Without the settings of other methods.
impl Serialize for Adapter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            kind,
            rank,
            alpha,
            dropout,
            target_modules,
            rslora,
            feedforward_modules,
            num_virtual_tokens,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", kind)?;
        for name in kind.settings() {
            match *name {
                "rank" => map.serialize_entry(name, rank)?,
                "alpha" => map.serialize_entry(name, alpha)?,
                "dropout" => map.serialize_entry(name, dropout)?,
                "target_modules" => map.serialize_entry(name, target_modules)?,
                "rslora" => map.serialize_entry(name, rslora)?,
                "feedforward_modules" => map.serialize_entry(name, feedforward_modules)?,
                "num_virtual_tokens" => map.serialize_entry(name, num_virtual_tokens)?,
                other => return Err(serde::ser::Error::custom(format!("no setting '{other}'"))),
            }
        }
        map.end()
    }
}

/// The adapter methods of the contract. This version carries out all but `dora` and `bottleneck`, which it refuses by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// Low-rank adaptation (arXiv 2106.09685).
    Lora,
    /// Weight-decomposed low-rank adaptation.
    Dora,
    /// Learned rescaling of activations (arXiv 2205.05638).
    Ia3,
    /// Learned keys and values before the sequence (arXiv 2101.00190), without the MLP that makes them there.
    Prefix,
    /// Learned embeddings before the sequence (arXiv 2104.08691).
    Prompt,
    /// Houlsby bottleneck layers.
    Bottleneck,
    /// A new output head alone.
    Head,
    /// All weights.
    Full,
}

impl AdapterKind {
    /// Its name in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Dora => "dora",
            Self::Ia3 => "ia3",
            Self::Prefix => "prefix",
            Self::Prompt => "prompt",
            Self::Bottleneck => "bottleneck",
            Self::Head => "head",
            Self::Full => "full",
        }
    }

    /// The fields of [`Adapter`] that are settings of it, in the order of an answer.
    pub const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Lora => &["rank", "alpha", "dropout", "target_modules", "rslora"],
            Self::Ia3 => &["target_modules", "feedforward_modules"],
            Self::Prefix | Self::Prompt => &["num_virtual_tokens"],
            Self::Head | Self::Full => &[],
            // Those that this version does not carry out have none yet.
            Self::Dora | Self::Bottleneck => &[],
        }
    }
}

/// Which linear layers are adapted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetModules {
    /// `"all-linear"`: every linear layer but the output head.
    AllLinear,
    /// Names: each matches a module's full path or its ending after a dot, as in PEFT.
    Names(Vec<String>),
}

impl Serialize for TargetModules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AllLinear => serializer.serialize_str("all-linear"),
            Self::Names(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TargetModules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = TargetModules;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all-linear\" or a list of layer names")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetModules, E> {
                match text {
                    "all-linear" => Ok(TargetModules::AllLinear),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TargetModules, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(TargetModules::Names(names))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

/// `"all-linear"` or names, for the contract's document.
fn target_modules() -> Schema {
    let all = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["all-linear"]));
    let names = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String));
    OneOfBuilder::new().item(all).item(names).into()
}
