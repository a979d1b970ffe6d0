//! Pages of a list, and the `link` header that leads from one to the next.

use std::collections::HashMap;

use axum::Json;
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// Items a page when nothing is asked for, and at most.
const DEFAULT: usize = 30;
const MOST: usize = 100;

/// The page of `items` that `query` asks for, with links to the others.
///
/// `address` is the list's own address without a query. As on GitHub it names the repository by its id, so that only
/// clients that follow links rather than build them find the next page.
pub(super) fn page(items: &[Value], query: &HashMap<String, String>, address: &str) -> Response {
    let asked = |name: &str| query.get(name).and_then(|value| value.parse::<usize>().ok());
    let size = asked("per_page").unwrap_or(DEFAULT).clamp(1, MOST);
    let number = asked("page").unwrap_or(1).max(1);
    let last = items.len().div_ceil(size).max(1);
    let shown: Vec<&Value> = items.iter().skip((number - 1).saturating_mul(size)).take(size).collect();

    let kept: String = query
        .iter()
        .filter(|(name, _)| *name != "page" && *name != "per_page")
        .map(|(name, value)| format!("{name}={value}&"))
        .collect();
    let link =
        |page: usize, relation: &str| format!("<{address}?{kept}per_page={size}&page={page}>; rel=\"{relation}\"");
    let mut links = Vec::new();
    if number > 1 {
        links.push(link((number - 1).min(last), "prev"));
    }
    if number < last {
        links.push(link(number + 1, "next"));
        links.push(link(last, "last"));
    }
    if number > 1 {
        links.push(link(1, "first"));
    }
    let mut headers = HeaderMap::new();
    if let Ok(links) = HeaderValue::from_str(&links.join(", "))
        && !links.is_empty()
    {
        headers.insert(LINK, links);
    }
    (headers, Json(shown)).into_response()
}
