//! Query strings, taken strictly: a key that the operation does not know is an error, not a wish unheard.

use std::collections::BTreeMap;
use std::str::FromStr;

use actix_web::HttpRequest;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::page::{Order, PageRequest};

/// The pairs of a query string that nobody has taken yet.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let pairs = form_urlencoded::parse(request.query_string().as_bytes());
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    /// Takes the value of `key`.
    pub(crate) fn take(&mut self, key: &str) -> Result<Option<String>, ApiError> {
        let Some(index) = self.0.iter().position(|(name, _)| name == key) else { return Ok(None) };
        let (_, value) = self.0.remove(index);
        if self.0.iter().any(|(name, _)| name == key) {
            return Err(invalid(key, "is given more than once"));
        }
        Ok(Some(value))
    }

    /// Takes `after` (an id of type `Id`), `limit` and, where the list has it, `order`.
    pub(crate) fn page<Id: FromStr>(
        &mut self,
        limit_default: u32,
        limit_max: u32,
        ordered: bool,
    ) -> Result<PageRequest, ApiError> {
        let after = self.take("after")?;
        if let Some(id) = &after
            && id.parse::<Id>().is_err()
        {
            let id: String = id.chars().take(80).collect();
            let text = format!("'after': '{id}' is no id of this list");
            return Err(ApiError::field(ErrorCode::InvalidCursor, "after", text));
        }
        let limit = match self.take("limit")? {
            None => limit_default,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=limit_max).contains(&limit) => limit,
                _ => {
                    let text: String = text.chars().take(40).collect();
                    return Err(invalid(
                        "limit",
                        &format!("must be between 1 and {limit_max}, not '{text}'"),
                    ));
                }
            },
        };
        let order = match if ordered { self.take("order")? } else { None }.as_deref() {
            None | Some("desc") => Order::Desc,
            Some("asc") => Order::Asc,
            Some(_) => return Err(invalid("order", "must be 'asc' or 'desc'")),
        };
        Ok(PageRequest { after, limit, order })
    }

    /// Takes a yes or no; no where it is left out.
    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, ApiError> {
        match self.take(key)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                Err(invalid(key, &format!("must be 'true' or 'false', not '{other}'")))
            }
        }
    }

    /// Takes all `metadata[key]`.
    pub(crate) fn metadata(&mut self) -> Result<BTreeMap<String, String>, ApiError> {
        let mut metadata = BTreeMap::new();
        for (name, value) in std::mem::take(&mut self.0) {
            let key = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']'));
            match key {
                Some(key) => {
                    if metadata.insert(key.to_string(), value).is_some() {
                        return Err(invalid(&name, "is given more than once"));
                    }
                }
                None => self.0.push((name, value)),
            }
        }
        Ok(metadata)
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.first() {
            Some((name, _)) => {
                let name: String = name.chars().take(80).collect();
                let text = format!("unknown query parameter '{name}'");
                Err(ApiError::field(ErrorCode::UnknownParameter, name, text))
            }
            None => Ok(()),
        }
    }
}

fn invalid(key: &str, reason: &str) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, key, format!("query parameter '{key}' {reason}"))
}
