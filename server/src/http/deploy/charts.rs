//! Series that the dashboard draws. The calls of the last hour are counted; of the rest it is told that nothing is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json as object};
use vestibule_schema::path::{ComponentPath, FunctionPath};

use crate::functions::{CalledFunction, Calls, LastHour};
use crate::http::Http;
use crate::http::credentials::query_parameter;
use crate::http::respond::{WireError, json};

type Answer = Result<Response, WireError>;

/// Points of one series.
const BUCKETS_MAX: u64 = 1_000;
/// Functions that are shown by themselves, unless a request says how many.
const TOP: usize = 5;
const TOP_MAX: usize = 25;
/// The name of all other functions together.
const REST: &str = "_rest";

/// The time that a series covers.
#[derive(Deserialize)]
struct Window {
    start: Moment,
    end: Moment,
    num_buckets: u64,
}

#[derive(Deserialize)]
struct Moment {
    secs_since_epoch: u64,
    #[serde(default)]
    nanos_since_epoch: u64,
}

impl Moment {
    fn millis(&self) -> u64 {
        let millis = self.secs_since_epoch.saturating_mul(1_000);
        millis.saturating_add(self.nanos_since_epoch / 1_000_000)
    }
}

/// A series: where each of its points begins, and how long each is.
struct Buckets {
    start_millis: u64,
    end_millis: u64,
    count: u64,
}

impl Buckets {
    fn of(parts: &Parts) -> Result<Buckets, WireError> {
        let refused = |why: String| WireError::bad_request("BadQueryArgs", why);
        let text = query_parameter(parts, "window")
            .ok_or_else(|| refused("The window is missing.".to_owned()))?;
        let window: Window = serde_json::from_str(&text)
            .map_err(|error| refused(format!("The window cannot be read: {error}.")))?;
        let (start_millis, end_millis) = (window.start.millis(), window.end.millis());
        if !(1..=BUCKETS_MAX).contains(&window.num_buckets) || end_millis <= start_millis {
            return Err(refused(format!(
                "A window has 1 to {BUCKETS_MAX} buckets, and ends after its start."
            )));
        }
        Ok(Buckets {
            start_millis,
            end_millis,
            count: window.num_buckets,
        })
    }

    /// Where bucket number `at` begins.
    fn edge(&self, at: u64) -> u64 {
        let span = u128::from(self.end_millis - self.start_millis);
        let offset = span * u128::from(at) / u128::from(self.count);
        self.start_millis + u64::try_from(offset).unwrap_or(u64::MAX)
    }

    /// The point of each bucket, by where it begins and ends. None is shown as a gap.
    fn series(&self, point: impl Fn(u64, u64) -> Option<f64>) -> Json {
        let points = (0..self.count).map(|at| {
            let (from, to) = (self.edge(at), self.edge(at + 1));
            let moment = object!({
                "secs_since_epoch": from / 1_000,
                "nanos_since_epoch": from % 1_000 * 1_000_000,
            });
            object!([moment, point(from, to)])
        });
        points.collect()
    }

    /// The same of calls. There is a gap before the first minute that was counted, and after this one.
    fn of_calls(
        &self,
        hour: &LastHour,
        calls: &BTreeMap<u64, Calls>,
        measure: impl Fn(Calls) -> Option<f64>,
    ) -> Json {
        self.series(|from, to| {
            if to <= hour.from_millis || from > hour.until_millis {
                return None;
            }
            let within = calls.range(from..to).map(|(_, calls)| *calls);
            measure(within.fold(Calls::default(), plus))
        })
    }
}

fn plus(one: Calls, other: Calls) -> Calls {
    Calls {
        runs: one.runs + other.runs,
        errors: one.errors + other.errors,
    }
}

fn count(calls: Calls) -> Option<f64> {
    Some(calls.runs as f64)
}

fn failed_percentage(calls: Calls) -> Option<f64> {
    (calls.runs > 0).then(|| 100.0 * calls.errors as f64 / calls.runs as f64)
}

/// `GET /api/app_metrics/function_call_count_top_k`: the functions that are called most.
pub async fn function_call_count_top_k(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let rank = |calls: Calls| calls.runs;
    top(&http, request, rank, count).await
}

/// `GET /api/app_metrics/failure_percentage_top_k`: the functions that fail most.
pub async fn failure_percentage_top_k(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let rank = |calls: Calls| calls.errors;
    top(&http, request, rank, failed_percentage).await
}

/// `GET /api/app_metrics/udf_rate`: the calls or the errors of one function.
pub async fn udf_rate(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let buckets = Buckets::of(&parts)?;
    let path = query_parameter(&parts, "path").unwrap_or_default();
    let kind = query_parameter(&parts, "udfType").unwrap_or_default();
    let component = query_parameter(&parts, "componentPath");
    let path = counted_as(path, &kind, http.component_named(component.as_deref())?);
    let hour = http.functions.last_hour();
    let of_path = |((other_kind, other), _): &(&CalledFunction, &BTreeMap<u64, Calls>)| {
        *other == path && (kind.is_empty() || *other_kind == kind)
    };
    let calls = hour.calls.iter().find(of_path).map(|(_, calls)| calls);
    let none = BTreeMap::new();
    let calls = calls.unwrap_or(&none);
    let series = match query_parameter(&parts, "metric").as_deref() {
        None | Some("invocations") => buckets.of_calls(&hour, calls, count),
        Some("errors") => buckets.of_calls(&hour, calls, |calls| Some(calls.errors as f64)),
        Some(_) => buckets.series(|_, _| None),
    };
    answer(&series)
}

/// The name under which the calls of a function are counted.
fn counted_as(path: String, kind: &str, component: ComponentPath) -> String {
    match path.parse::<FunctionPath>() {
        Ok(path) if kind != "HttpAction" => path.in_component(component).to_string(),
        // An HTTP action is named by its method and path.
        _ => path,
    }
}

/// `GET /api/app_metrics/table_rate`, `cache_hit_percentage` and `scheduled_job_lag`: a series of gaps, since these are not
/// counted by the minute.
pub async fn uncounted_series(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    answer(&Buckets::of(&parts)?.series(|_, _| None))
}

/// `GET /api/app_metrics/cache_hit_percentage_top_k`, `subscription_invalidations_top_k` and `latency_percentiles`: no
/// series.
pub async fn no_series(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    answer(&object!([]))
}

/// `GET /api/app_metrics/function_concurrency`: no series of any kind of function.
pub async fn function_concurrency(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    answer(&object!({}))
}

/// The series of the functions that rank highest, and one of all others.
async fn top(
    http: &Http,
    request: Request,
    rank: impl Fn(Calls) -> u64,
    measure: impl Fn(Calls) -> Option<f64> + Copy,
) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let buckets = Buckets::of(&parts)?;
    let k = query_parameter(&parts, "k").and_then(|k| k.parse::<usize>().ok());
    let k = k.unwrap_or(TOP).clamp(1, TOP_MAX);
    let hour = http.functions.last_hour();
    let total = |calls: &BTreeMap<u64, Calls>| {
        let within = calls.range(buckets.start_millis..buckets.end_millis);
        rank(within.map(|(_, calls)| *calls).fold(Calls::default(), plus))
    };
    let is_app = |((_, path), _): &(&CalledFunction, _)| !path.starts_with("_system/");
    let mut ranked: Vec<_> = hour.calls.iter().filter(is_app).collect();
    ranked.retain(|(_, calls)| total(calls) > 0);
    ranked.sort_by_key(|(_, calls)| std::cmp::Reverse(total(calls)));
    let others = ranked.split_off(k.min(ranked.len()));
    let mut shown: Vec<Json> = Vec::new();
    for ((_, path), calls) in ranked {
        shown.push(object!([path, buckets.of_calls(&hour, calls, measure)]));
    }
    if !others.is_empty() {
        let mut rest: BTreeMap<u64, Calls> = BTreeMap::new();
        for (at, calls) in others.into_iter().flat_map(|(_, calls)| calls) {
            let sum = rest.entry(*at).or_default();
            *sum = plus(*sum, *calls);
        }
        shown.push(object!([REST, buckets.of_calls(&hour, &rest, measure)]));
    }
    answer(&Json::Array(shown))
}

fn answer(body: &Json) -> Answer {
    Ok(json(StatusCode::OK, body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_a_component_is_not_the_apps_function_of_the_same_path() {
        let named = |path: &str, kind, component: &str| {
            counted_as(path.to_owned(), kind, component.parse().unwrap())
        };
        assert_eq!(named("k.js:list", "Query", ""), "k:list");
        assert_eq!(named("k.js:list", "Query", "kid"), "kid:k:list");
        assert_eq!(named("k:list", "", "kid/low"), "kid/low:k:list");
        assert_eq!(named("GET /k", "HttpAction", ""), "GET /k");
    }
}
