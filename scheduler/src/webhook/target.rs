//! Where webhooks may go: public addresses by `https`, unless the operator allows more.
//!
//! A tenant chooses the URL and the server connects, so without this a tenant would reach what only the server can: other
//! services of this machine, the private network, the cloud's metadata. [`Targets::url`] is asked when an endpoint is made, and again
//! before each attempt; [`Targets::allows`] is asked for the address that a connection is about to be made to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use trainyard_openapi::limits::WEBHOOK_URL_BYTES_MAX;
use url::{Host, Url};

/// IPv4 networks that are not the public internet: IANA's special-purpose registry, and Azure's metadata service, which has an
/// address of the public range.
const BLOCKED_V4: [(Ipv4Addr, u8); 19] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The only IPv6 addresses that are assigned to the public internet. All else is refused without being named: loopback, unspecified,
/// unique local, link-local, site-local, multicast, NAT64, IPv4-compatible, discard, segment routing.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of it is special: protocol assignments with Teredo and ORCHID, both documentation networks, and 6to4, which carries an IPv4
/// address inside.
const BLOCKED_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Last labels of names that never are of the public internet.
const LOCAL_NAMES: [&str; 6] = ["localhost", "local", "internal", "intranet", "lan", "arpa"];

/// Networks, written as `10.0.0.0/8, fd00::/8`, or `none`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Networks(Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        let network = |text: &str| {
            text.trim().parse().map_err(|_| format!("'{text}' is no network such as 10.0.0.0/8"))
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Networks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Networks> for String {
    fn from(networks: Networks) -> Self {
        let all: Vec<String> = networks.0.iter().map(ToString::to_string).collect();
        if all.is_empty() { "none".to_string() } else { all.join(", ") }
    }
}

/// What an operator allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Plain `http` and any port.
    pub insecure: bool,
    /// Networks that are allowed although they are not public.
    pub networks: Networks,
}

impl Targets {
    /// Reads a URL that webhooks may be sent to.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn url(&self, text: &str) -> Result<Url, String> {
        if text.is_empty() || text.len() > WEBHOOK_URL_BYTES_MAX {
            let bytes = text.len();
            return Err(format!("must have 1 to {WEBHOOK_URL_BYTES_MAX} bytes, not {bytes}"));
        }
        // A parser of URLs leaves these out or turns them round; whoever sends them means to hide something.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("must not contain spaces, control characters or backslashes".to_string());
        }
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.insecure => {}
            scheme => return Err(format!("must begin with 'https://', not '{scheme}:'")),
        }
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            return Err("must not hold a user name or password".to_string());
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment ('#')".to_string());
        }
        if let (Some(port), false) = (url.port(), self.insecure) {
            return Err(format!("must use port 443, not {port}"));
        }
        self.host(&url)?;
        Ok(url)
    }

    fn host(&self, url: &Url) -> Result<(), String> {
        let address: IpAddr = match url.host() {
            None => return Err("must name a host".to_string()),
            Some(Host::Domain(name)) => return self.name(name),
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
        };
        if self.allows(address) {
            return Ok(());
        }
        Err(format!("{address} is not an address of the public internet"))
    }

    fn name(&self, name: &str) -> Result<(), String> {
        if name.ends_with('.') {
            return Err(format!("the host '{name}' must not end with a dot"));
        }
        let last = name.rsplit('.').next().unwrap_or(name);
        // Where the operator has named networks of their own, their names are wanted; the address is checked all the same.
        let local = !name.contains('.') || LOCAL_NAMES.contains(&last);
        if local && self.networks.0.is_empty() {
            return Err(format!("the host '{name}' is not a name of the public internet"));
        }
        Ok(())
    }

    /// Whether a connection to `address` may be made.
    pub fn allows(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        is_public(canonical) || self.networks.0.iter().any(|network| network.contains(&canonical))
    }
}

/// What stands between `//` and the path, as it was written: `https://@host` has an empty user name.
fn authority(text: &str) -> &str {
    let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !BLOCKED_V4
            .iter()
            .any(|(network, length)| Ipv4Net::new_assert(*network, *length).contains(&address)),
        IpAddr::V6(address) => {
            let within = |(network, length): &(Ipv6Addr, u8)| {
                Ipv6Net::new_assert(*network, *length).contains(&address)
            };
            within(&PUBLIC_V6) && !BLOCKED_V6.iter().any(within)
        }
    }
}
