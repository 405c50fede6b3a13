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
    /// The linear layers that get an adapter.
    #[schema(schema_with = target_modules)]
    pub target_modules: TargetModules,
    /// Rank-stabilised scaling (arXiv 2312.03732).
    pub rslora: bool,
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
        }
    }
}

/// Without the settings of other methods.
impl Serialize for Adapter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { kind, rank, alpha, dropout, target_modules, rslora } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", kind)?;
        for name in kind.settings() {
            match *name {
                "rank" => map.serialize_entry(name, rank)?,
                "alpha" => map.serialize_entry(name, alpha)?,
                "dropout" => map.serialize_entry(name, dropout)?,
                "target_modules" => map.serialize_entry(name, target_modules)?,
                "rslora" => map.serialize_entry(name, rslora)?,
                other => return Err(serde::ser::Error::custom(format!("no setting '{other}'"))),
            }
        }
        map.end()
    }
}

/// The adapter methods of the contract. This version carries out `lora` and `full` and refuses the others by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// Low-rank adaptation (arXiv 2106.09685).
    Lora,
    /// Weight-decomposed low-rank adaptation.
    Dora,
    /// Learned rescaling of activations.
    Ia3,
    /// Learned keys and values before the sequence.
    Prefix,
    /// Learned embeddings before the sequence.
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
            // Those that this version does not carry out have none yet.
            Self::Dora
            | Self::Ia3
            | Self::Prefix
            | Self::Prompt
            | Self::Bottleneck
            | Self::Head
            | Self::Full => &[],
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
