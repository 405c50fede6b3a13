//! Lists.

use redis::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trainyard_openapi::page::{Order, PageRequest};

use super::RedisStore;
use super::request::encode;
use super::scripts;
use crate::port::store::{Slice, StoreError};

/// Items of a list that is cut to several labels which one call looks at: the server serves nobody else meanwhile.
const WALK: u32 = 1000;
/// Items of a whole list that one call takes.
const PIECE: u32 = 500;

/// A list, cut to what bears all of `labels`.
pub(super) struct List<'a> {
    pub(super) kind: &'a str,
    pub(super) scope: &'a str,
    pub(super) labels: Vec<String>,
}

#[derive(Serialize)]
struct Part<'a> {
    kind: &'a str,
    scope: &'a str,
    labels: &'a [String],
    descending: bool,
    limit: u32,
    walk: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    /// The place of the item before, as text: it may be larger than a number of the script's is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

impl RedisStore {
    /// A page of a list. Places never change and new items come at an end, so a page that takes several calls misses nothing.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        list: List<'_>,
        page: &PageRequest,
    ) -> Result<Slice<T>, StoreError> {
        let mut records: Vec<T> = Vec::new();
        let limit = page.limit as usize;
        let mut part = Part {
            kind: list.kind,
            scope: list.scope,
            labels: &list.labels,
            descending: page.order == Order::Desc,
            limit: page.limit + 1,
            walk: if list.labels.len() > 1 { WALK } else { page.limit + 1 },
            after: page.after.as_deref(),
            from: None,
        };
        loop {
            let (place, found) = self.part(&part).await?;
            records.extend(found);
            if records.len() > limit || place.is_empty() {
                let has_more = records.len() > limit;
                records.truncate(limit);
                return Ok((records, has_more));
            }
            (part.after, part.from) = (None, Some(place));
            part.limit = u32::try_from(limit + 1 - records.len()).unwrap_or(u32::MAX);
        }
    }

    /// A whole list.
    pub(super) async fn whole<T: DeserializeOwned>(
        &self,
        list: List<'_>,
        order: Order,
    ) -> Result<Vec<T>, StoreError> {
        let mut records = Vec::new();
        let mut part = Part {
            kind: list.kind,
            scope: list.scope,
            labels: &list.labels,
            descending: order == Order::Desc,
            limit: PIECE,
            walk: PIECE,
            after: None,
            from: None,
        };
        loop {
            let (place, found) = self.part(&part).await?;
            records.extend(found);
            if place.is_empty() {
                return Ok(records);
            }
            part.from = Some(place);
        }
    }

    async fn part<T: DeserializeOwned>(
        &self,
        part: &Part<'_>,
    ) -> Result<(String, Vec<T>), StoreError> {
        let answer: Vec<Value> = self.read(&scripts::PAGE, &encode(part)?).await?;
        let mut answer = answer.into_iter();
        let (known, place) =
            (answer.next().unwrap_or(Value::Nil), answer.next().unwrap_or(Value::Nil));
        if super::decode::<String>(known)? != "known" {
            let after = part.after.unwrap_or_default();
            return Err(StoreError::UnknownCursor(after.to_string()));
        }
        let records = answer.map(super::record);
        Ok((super::decode(place)?, records.collect::<Result<_, _>>()?))
    }
}
