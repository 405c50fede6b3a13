//! The server's address: which of the sources names it, and the form it takes.

use reqwest::Url;

use super::ClientError;

/// Where `trainyard serve` listens by default.
const DEFAULT: &str = "http://127.0.0.1:8420/v1";

/// The base URL of the API, ending in `/v1`: from the flag, else `TRAINYARD_URL`, else `OPENAI_BASE_URL`, else the default.
pub(crate) fn base_url(flag: Option<&str>) -> Result<Url, ClientError> {
    let variable = |name: &str| {
        #[expect(clippy::disallowed_methods, reason = "the server crate reads the environment")]
        std::env::var(name).ok().filter(|value| !value.is_empty())
    };
    let (source, text) = match flag {
        Some(text) => ("--url", text.to_string()),
        None => match (variable("TRAINYARD_URL"), variable("OPENAI_BASE_URL")) {
            (Some(text), _) => ("TRAINYARD_URL", text),
            (None, Some(text)) => ("OPENAI_BASE_URL", text),
            (None, None) => ("the default address", DEFAULT.to_string()),
        },
    };
    parse(&text).map_err(|reason| ClientError::Usage(format!("{source}: the URL {reason}")))
}

fn parse(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with http:// or https://".to_string());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password: they would show in messages".to_string());
    }
    if matches!(url.path(), "" | "/") {
        url.set_path("/v1");
    }
    Ok(url)
}

/// Whether the server is on this machine, so that keys do not leave it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str().unwrap_or_default().trim_matches(['[', ']']) {
        "localhost" => true,
        host => host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_gets_the_version() {
        let parsed = |text: &str| parse(text).map(|url| url.to_string());
        assert_eq!(parsed("http://127.0.0.1:1").as_deref(), Ok("http://127.0.0.1:1/v1"));
        assert_eq!(parsed("http://h/v1").as_deref(), Ok("http://h/v1"));
        assert_eq!(parsed("https://h/proxy/v1/").as_deref(), Ok("https://h/proxy/v1/"));
        assert!(parsed("ftp://h").is_err());
        assert!(parsed("127.0.0.1:8420").is_err());
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        let loopback = |text| parse(text).is_ok_and(|url| is_loopback(&url));
        assert!(loopback("http://127.0.0.1:1"));
        assert!(loopback("http://[::1]:1"));
        assert!(loopback("http://localhost"));
        assert!(!loopback("http://10.0.0.1"));
        assert!(!loopback("http://localhost.example.org"));
    }
}
