//! How one concern's settings are declared: once, for the file, the environment and the command line together.
//!
//! `settings!` makes two structs of one list. The layer has every field optional and is what a source may say: clap
//! fills one from flags and environment, serde another from a table of the file. The typed one has every default in place
//! and is what the rest of the server sees. A setting is added by adding a line to its concern's list.

/// Declares the settings of a concern; see the module head. A field under `fixed` has a default that is read with
/// `FromStr`; one under `derived` stays `None` when nobody sets it, and its text says what is taken then.
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        $typed:ident from $layer:ident, $heading:literal;
        fixed { $($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal, $env:literal;)* }
        derived { $($(#[doc = $derived_doc:literal])+ $derived:ident: $derived_type:ty = $text:literal, $derived_env:literal;)* }
    ) => {
        #[allow(clippy::doc_markdown, reason = "the doc comments are the help text too")]
        #[doc = concat!("What one source says of: ", $heading, ".")]
        #[derive(Debug, Clone, Default, PartialEq, clap::Args, serde::Deserialize)]
        #[command(next_help_heading = $heading)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $layer {
            $(
                $(#[doc = $doc])+
                #[arg(long, env = $env, hide_env_values = true, help = concat!($($doc),+, " [default: ", $default, "]").trim())]
                pub(crate) $name: Option<$type>,
            )*
            $(
                $(#[doc = $derived_doc])+
                #[arg(long, env = $derived_env, hide_env_values = true, help = concat!($($derived_doc),+, " [default: ", $text, "]").trim())]
                pub(crate) $derived: Option<$derived_type>,
            )*
        }

        $(#[doc = $about])*
        #[allow(clippy::doc_markdown, reason = "the doc comments are the help text too")]
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $typed {
            $($(#[doc = $doc])+ pub(crate) $name: $type,)*
            $($(#[doc = $derived_doc])+ pub(crate) $derived: Option<$derived_type>,)*
        }

        impl $layer {
            /// What this source says, then what `weaker` says, then the defaults.
            pub(crate) fn over(self, weaker: Self) -> Result<$typed, $crate::config::ConfigError> {
                Ok($typed {
                    $($name: match self.$name.or(weaker.$name) {
                        Some(value) => value,
                        None => $default.parse().map_err(|_| $crate::config::ConfigError::Default {
                            name: stringify!($name),
                            text: $default,
                        })?,
                    },)*
                    $($derived: self.$derived.or(weaker.$derived),)*
                })
            }
        }
    };
}

pub(crate) use settings;
