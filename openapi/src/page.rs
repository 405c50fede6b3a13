//! Lists: OpenAI's cursor pages, with `first_id` and `last_id` on each.

use serde::{Deserialize, Serialize};

/// A page of a list, newest first unless the operation says otherwise.
///
/// The next page starts after `last_id`: send it as `after` while `has_more` is true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: String,
    /// The items of this page.
    pub data: Vec<T>,
    /// The id of the first item, null on an empty page.
    #[schema(required = true)]
    pub first_id: Option<String>,
    /// The id of the last item, null on an empty page.
    #[schema(required = true)]
    pub last_id: Option<String>,
    /// Whether a further page exists.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// A page of `data`, whose ids `id` reads.
    pub fn new(data: Vec<T>, has_more: bool, id: impl Fn(&T) -> String) -> Self {
        let (first_id, last_id) = (data.first().map(&id), data.last().map(&id));
        Self { object: "list".to_string(), data, first_id, last_id, has_more }
    }

    /// The same page with every item mapped.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        let Self { object, data, first_id, last_id, has_more } = self;
        Page { object, data: data.into_iter().map(f).collect(), first_id, last_id, has_more }
    }
}

/// The order of a list by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

/// Which part of a list is wanted; `limit` is already within the operation's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The id after which the page starts.
    pub after: Option<String>,
    /// How many items at most.
    pub limit: u32,
    /// The order by creation time.
    pub order: Order,
}
