//! `"auto"` or a value: how OpenAI's contract lets the server choose.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, Schema, Type};

/// Either `"auto"` (the default) or a value of the client's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auto<T> {
    /// The server chooses.
    #[default]
    Auto,
    /// The client chose.
    Value(T),
}

impl<T> Auto<T> {
    /// The client's value, or what `choose` gives.
    pub fn resolve(self, choose: impl FnOnce() -> T) -> T {
        match self {
            Self::Auto => choose(),
            Self::Value(value) => value,
        }
    }

    /// The client's value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T: Serialize> Serialize for Auto<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Auto<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AutoVisitor(PhantomData))
    }
}

/// Hands each scalar on to `T`, so that `T`'s own message names what it wanted.
struct AutoVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AutoVisitor<T> {
    type Value = Auto<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\" or a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Auto<T>, E> {
        Ok(Auto::Auto)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Auto<T>, E> {
        if text == "auto" {
            return Ok(Auto::Auto);
        }
        T::deserialize(text.into_deserializer()).map(Auto::Value)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Auto<T>, E> {
        T::deserialize(value.into_deserializer()).map(Auto::Value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Auto<T>, E> {
        T::deserialize(value.into_deserializer()).map(Auto::Value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Auto<T>, E> {
        T::deserialize(value.into_deserializer()).map(Auto::Value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Auto<T>, E> {
        T::deserialize(value.into_deserializer()).map(Auto::Value)
    }
}

/// `"auto"` or an integer, for the contract's document.
pub(crate) fn integer() -> Schema {
    or_auto(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).into())
}

/// `"auto"` or a number above 0, for the contract's document.
pub(crate) fn number() -> Schema {
    or_auto(ObjectBuilder::new().schema_type(Type::Number).exclusive_minimum(Some(0)).into())
}

/// `"auto"` or a boolean, for the contract's document.
pub(crate) fn boolean() -> Schema {
    or_auto(ObjectBuilder::new().schema_type(Type::Boolean).into())
}

/// `"auto"` or a number format, for the contract's document.
pub(crate) fn precision() -> Schema {
    or_auto(
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["fp32", "bf16", "fp16"]))
            .into(),
    )
}

fn or_auto(value: Schema) -> Schema {
    let auto = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["auto"]));
    OneOfBuilder::new().item(auto).item(value).into()
}
