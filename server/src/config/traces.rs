//! Settings of traces. What is not set here is taken from the variables that OpenTelemetry gave names to, so that an operator's usual set-up
//! works; nothing of ours reads them but this file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use url::Url;

use super::layer::settings;
use super::{ConfigError, Mode, content};

settings! {
    /// Where spans go.
    Traces from TracesLayer, "Traces";
    fixed {}
    derived {
        /// URL of a collector that takes spans by OTLP over HTTP in protobuf, such as http://127.0.0.1:4318/v1/traces.
        traces_endpoint: String = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or OTEL_EXPORTER_OTLP_ENDPOINT and /v1/traces, or none: no traces", "TRAINYARD_TRACES_ENDPOINT";
        /// File with headers for it, such as a token: key=value,key=value with %-escapes.
        traces_headers_file: PathBuf = "what OTEL_EXPORTER_OTLP_TRACES_HEADERS or OTEL_EXPORTER_OTLP_HEADERS says, or none", "TRAINYARD_TRACES_HEADERS_FILE";
        /// File with certificates in PEM that it may show, beside those that the system trusts.
        traces_ca_file: PathBuf = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE, or OTEL_EXPORTER_OTLP_CERTIFICATE, or none", "TRAINYARD_TRACES_CA_FILE";
        /// Which traces are recorded: always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio.
        traces_sampler: SamplerName = "OTEL_TRACES_SAMPLER, or parentbased_always_on", "TRAINYARD_TRACES_SAMPLER";
        /// The share of traces that a sampler with traceidratio records, from 0 to 1.
        traces_sampler_arg: f64 = "OTEL_TRACES_SAMPLER_ARG, or 1", "TRAINYARD_TRACES_SAMPLER_ARG";
        /// What the process is called in traces.
        traces_service_name: String = "OTEL_SERVICE_NAME, or trainyard- and the command", "TRAINYARD_TRACES_SERVICE_NAME";
        /// More that is said of the process: key=value,key=value with %-escapes.
        traces_resource_attributes: String = "OTEL_RESOURCE_ATTRIBUTES, or none", "TRAINYARD_TRACES_RESOURCE_ATTRIBUTES";
    }
}

/// Which traces are recorded, by OpenTelemetry's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct SamplerName {
    /// As the caller decided, where there is one.
    pub(crate) parent_based: bool,
    /// All others.
    pub(crate) roots: Roots,
}

/// Which traces that begin here are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roots {
    /// All.
    All,
    /// None.
    None,
    /// A share of them.
    Share,
}

impl FromStr for SamplerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("parentbased_");
        let roots = match name.unwrap_or(text) {
            "always_on" => Roots::All,
            "always_off" => Roots::None,
            "traceidratio" => Roots::Share,
            _ => {
                return Err(format!(
                    "must be always_on, always_off, traceidratio, or one of them after parentbased_, not '{text}'"
                ));
            }
        };
        Ok(Self { parent_based: name.is_some(), roots })
    }
}

impl TryFrom<String> for SamplerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Traces that are on, with nothing left open.
#[derive(Debug, Clone)]
pub(crate) struct TracePlan {
    /// Where spans go.
    pub(crate) endpoint: Url,
    /// Headers of each request; values may be secret.
    pub(crate) headers: Vec<(String, String)>,
    /// More certificates.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// Which traces.
    pub(crate) sampler: SamplerName,
    /// The share.
    pub(crate) share: f64,
    /// What is said of the process.
    pub(crate) resource: Vec<(String, String)>,
}

impl Traces {
    /// What is to be done, from these settings and the environment; none where traces are off.
    ///
    /// # Errors
    /// A value that cannot be used. The values of headers are not in it.
    pub(crate) fn plan(&self, mode: Mode) -> Result<Option<TracePlan>, ConfigError> {
        self.plan_in(mode, &|name| {
            let value = std::env::var_os(name)?.into_string().ok()?;
            Some(value).filter(|value| !value.is_empty())
        })
    }

    fn plan_in(
        &self,
        mode: Mode,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<TracePlan>, ConfigError> {
        let refuse = |reason: String| ConfigError::Conflict(reason);
        let either = |one: &str, other: &str| environment(one).or_else(|| environment(other));
        let disabled = environment("OTEL_SDK_DISABLED").is_some_and(|on| on == "true");
        if disabled || environment("OTEL_TRACES_EXPORTER").is_some_and(|name| name == "none") {
            return Ok(None);
        }
        let Some(endpoint) = self.endpoint(environment)? else { return Ok(None) };
        let headers = match &self.traces_headers_file {
            Some(path) => Some(text_of(path)?),
            None => either("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
        };
        let ca_file = self.traces_ca_file.clone().or_else(|| {
            let path =
                either("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE");
            path.map(PathBuf::from)
        });
        let sampler = match (self.traces_sampler, environment("OTEL_TRACES_SAMPLER")) {
            (Some(set), _) => set,
            (None, Some(name)) => {
                name.parse().map_err(|why| refuse(format!("OTEL_TRACES_SAMPLER {why}")))?
            }
            (None, None) => SamplerName { parent_based: true, roots: Roots::All },
        };
        let share = match (self.traces_sampler_arg, environment("OTEL_TRACES_SAMPLER_ARG")) {
            (Some(set), _) => set,
            (None, Some(text)) if sampler.roots == Roots::Share => text.parse().map_err(|_| {
                refuse(format!("OTEL_TRACES_SAMPLER_ARG must be a number, not '{text}'"))
            })?,
            _ => 1.0,
        };
        if !(0.0..=1.0).contains(&share) {
            return Err(refuse(format!("'traces_sampler_arg' must be from 0 to 1, not {share}")));
        }
        let name = self.traces_service_name.clone().or_else(|| environment("OTEL_SERVICE_NAME"));
        let more = self.traces_resource_attributes.clone();
        let more = more.or_else(|| environment("OTEL_RESOURCE_ATTRIBUTES")).unwrap_or_default();
        let mut resource = pairs("traces_resource_attributes", &more)?;
        if name.is_some() || !resource.iter().any(|(key, _)| key == "service.name") {
            resource.retain(|(key, _)| key != "service.name");
            let name = name.unwrap_or_else(|| format!("trainyard-{}", mode.as_str()));
            resource.push(("service.name".to_string(), name));
        }
        Ok(Some(TracePlan {
            endpoint,
            headers: pairs("traces_headers_file", &headers.unwrap_or_default())?,
            ca_pem: ca_file.as_deref().map(content).transpose()?,
            sampler,
            share,
            resource,
        }))
    }

    /// Where spans go.
    fn endpoint(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Url>, ConfigError> {
        let refuse = |reason: String| ConfigError::Conflict(reason);
        let (name, text) = if let Some(set) = &self.traces_endpoint {
            ("'traces_endpoint'", set.clone())
        } else {
            let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
            let common = "OTEL_EXPORTER_OTLP_ENDPOINT";
            let found = match (environment(own), environment(common)) {
                (Some(url), _) => (own, url),
                (None, Some(url)) => (common, format!("{}/v1/traces", url.trim_end_matches('/'))),
                (None, None) => return Ok(None),
            };
            for variable in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
                match environment(variable).as_deref() {
                    None => continue,
                    Some("http/protobuf") => break,
                    Some(other) => {
                        return Err(refuse(format!(
                            "{variable} is '{other}': spans are sent by http/protobuf alone"
                        )));
                    }
                }
            }
            found
        };
        let url = Url::parse(&text).ok().filter(|url| {
            let plain = url.username().is_empty() && url.password().is_none();
            matches!(url.scheme(), "http" | "https") && url.has_host() && plain
        });
        url.map(Some).ok_or_else(|| {
            refuse(format!("{name} must be an http:// or https:// URL without user and password"))
        })
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let text = String::from_utf8(content(path)?).map_err(|_| {
        ConfigError::Conflict(format!(
            "'{}' ('traces_headers_file') is not in UTF-8",
            path.display()
        ))
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}

/// `key=value,key=value` with %-escapes in values.
fn pairs(setting: &str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |(at, part): (usize, &str)| {
        let wrong = || {
            let place = at + 1;
            ConfigError::Conflict(format!("'{setting}': entry {place} is not key=value"))
        };
        let (key, value) = part.split_once('=').ok_or_else(wrong)?;
        let value = unescape(value.trim()).ok_or_else(wrong)?;
        match key.trim() {
            "" => Err(wrong()),
            key => Ok((key.to_string(), value)),
        }
    };
    parts.enumerate().map(pair).collect()
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        match (first, more) {
            (b'%', [a, b, after @ ..]) => {
                let hex = std::str::from_utf8(&[*a, *b]).ok()?.to_string();
                bytes.push(u8::from_str_radix(&hex, 16).ok()?);
                rest = after;
            }
            (b'%', _) => return None,
            (byte, _) => {
                bytes.push(*byte);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        layer: TracesLayer,
        environment: &[(&str, &str)],
    ) -> Result<Option<TracePlan>, ConfigError> {
        let environment = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_string())
        };
        layer.over(TracesLayer::default())?.plan_in(Mode::Api, &environment)
    }

    fn to(endpoint: &str) -> TracesLayer {
        TracesLayer { traces_endpoint: Some(endpoint.to_string()), ..TracesLayer::default() }
    }

    #[test]
    fn nothing_is_sent_before_somebody_says_where_to() {
        assert!(plan(TracesLayer::default(), &[("OTEL_SERVICE_NAME", "x")]).unwrap().is_none());
        let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(plan(to("http://c/"), &[on, off]).unwrap().is_none(), "{off:?}");
        }
        let plan = plan(TracesLayer::default(), &[on]).unwrap().unwrap();
        assert_eq!(plan.endpoint.as_str(), "http://c:4318/v1/traces");
        assert_eq!(plan.resource, [("service.name".to_string(), "trainyard-api".to_string())]);
        assert!(plan.sampler.parent_based && plan.sampler.roots == Roots::All);
    }

    #[test]
    fn settings_stand_over_the_standard_variables() {
        let layer = TracesLayer {
            traces_sampler: Some("traceidratio".parse().unwrap()),
            traces_sampler_arg: Some(0.25),
            traces_service_name: Some("mine".to_string()),
            ..to("https://own/v1/traces")
        };
        let standard = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other/x"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ("OTEL_SERVICE_NAME", "theirs"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=no,deployment.environment.name=a%20b"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t,x=1"),
        ];
        let plan = plan(layer, &standard).unwrap().unwrap();
        assert_eq!(plan.endpoint.as_str(), "https://own/v1/traces");
        assert_eq!((plan.sampler.parent_based, plan.sampler.roots), (false, Roots::Share));
        assert_eq!(plan.share, 0.25);
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        let said = [pair("deployment.environment.name", "a b"), pair("service.name", "mine")];
        assert_eq!(plan.resource, said);
        assert_eq!(plan.headers, [pair("authorization", "Bearer t"), pair("x", "1")]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_what_is_secret() {
        let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        for (layer, more, said) in [
            (to("grpc://c"), ("", ""), "traces_endpoint"),
            (to("http://me:hidden@c/"), ("", ""), "user and password"),
            (TracesLayer::default(), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "http/protobuf"),
            (TracesLayer::default(), ("OTEL_TRACES_SAMPLER", "jaeger"), "jaeger"),
            (TracesLayer::default(), ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,hidden"), "entry 2"),
            (TracesLayer::default(), ("OTEL_EXPORTER_OTLP_HEADERS", "a=hidden%4"), "entry 1"),
            (
                TracesLayer { traces_sampler_arg: Some(1.5), ..TracesLayer::default() },
                ("", ""),
                "1.5",
            ),
        ] {
            let error = plan(layer, &[on, more]).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hidden"), "{error}");
        }
    }
}
