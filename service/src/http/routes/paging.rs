//! Pages of a list: a cursor and a limit.

use crate::http::error::ApiError;
use crate::http::extract::query;
use serde::Deserialize;
use uuid::Uuid;

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// `next` of the previous page.
    cursor: Option<Uuid>,
    /// Items per page, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const TAKES: query::Takes =
    &[("cursor", "the value of next in the previous page"), ("limit", "a number from 1 to 1000")];

impl Paging {
    /// Cursor and limit.
    pub(super) fn read(query: Option<&str>) -> Result<(Option<Uuid>, usize), ApiError> {
        let Self { cursor, limit } = query::read(query, TAKES)?;
        let limit = limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(ApiError::Parameter { parameter: "limit", takes: "a number from 1 to 1000".into() });
        }
        Ok((cursor, limit))
    }
}

/// A page and the cursor of the next one, from one item more than the limit.
pub(super) fn page_of<T>(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<Uuid>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(id);
    (items, next)
}
