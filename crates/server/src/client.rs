//! A client of a running server: posts events and asks questions, over HTTP.
//!
//! A batch that the server is too busy for (429, 503) is sent again after what `Retry-After` says.
//! INVARIANT: a batch counts as accepted only when the server has answered 200. A connection that
//! breaks before the answer leaves open whether the batch was stored: it is not sent again, so
//! that nothing is stored twice, and the error says so.

use std::time::Duration;

use millstream_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use ureq::Agent;
use ureq::http::Response;

use crate::http::SqlRequest;

/// What came of a request.
type Answer = std::result::Result<Response<ureq::Body>, ureq::Error>;

/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// A body that is longer is sent only once the server wants it, so that its refusal can be read.
const ASK_BYTES_MIN: usize = 1 << 20;

/// A client of one server.
pub struct Client {
    agent: Agent,
}

/// What the server said to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// Durable; so many events.
    Accepted(u64),
    /// Not taken, for this reason; worth another try after this time.
    Busy(Duration, String),
}

#[derive(Deserialize)]
struct Accepted {
    count: u64,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client that gives up on an answer after 30 s.
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            // Servers are on loopback: a proxy of the environment could not reach them.
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
        }
    }

    /// Posts a batch of JSON lines to `url`, that of a topic.
    ///
    /// # Errors
    /// `InvalidInput` with the server's words when it refuses the batch; `Unavailable` when there
    /// is no answer.
    pub fn post_events(&self, url: &str, lines: &[u8]) -> Result<Posted> {
        let mut request = self.agent.post(url).content_type("application/x-ndjson");
        if lines.len() > ASK_BYTES_MIN {
            request = request.header("expect", "100-continue");
        }
        let mut response = request
            .send(lines)
            .map_err(|error| no_answer(url, &error))?;
        match response.status().as_u16() {
            200 => {
                let accepted = response.body_mut().read_json::<Accepted>();
                let accepted = accepted.map_err(|error| no_answer(url, &error))?;
                Ok(Posted::Accepted(accepted.count))
            }
            429 | 503 => {
                let patience = retry_after(&response);
                Ok(Posted::Busy(patience, refused(url, response).to_string()))
            }
            _ => Err(refused(url, response)),
        }
    }

    /// Asks `sql` of the server at `url`; the answer in `format` (`table`, `objects`, `csv`).
    pub fn query(&self, url: &str, sql: &str, format: &str) -> Result<String> {
        let url = format!("{}/api/v1/sql?format={format}", url.trim_end_matches('/'));
        let question = SqlRequest {
            query: sql.to_owned(),
        };
        let answer = self.agent.post(&url).send_json(&question);
        answered(&url, answer)
    }

    /// What the server says at `url`.
    pub fn get(&self, url: &str) -> Result<String> {
        answered(url, self.agent.get(url).call())
    }

    /// Posts `value` as JSON. The answer.
    pub fn post<T: serde::Serialize>(&self, url: &str, value: &T) -> Result<String> {
        answered(url, self.agent.post(url).send_json(value))
    }

    /// Has the server remove what is at `url`.
    pub fn delete(&self, url: &str) -> Result<()> {
        answered(url, self.agent.delete(url).call()).map(drop)
    }
}

/// The body of an answer that is good.
fn answered(url: &str, answer: Answer) -> Result<String> {
    let mut response = answer.map_err(|error| no_answer(url, &error))?;
    match response.status().as_u16() {
        200..=299 => {}
        // What is wrong with the question is all that matters.
        400 => return Err(Error::invalid(detail(response))),
        404 if is_problem(&response) => return Err(Error::invalid(detail(response))),
        409 => return Err(Error::new(ErrorKind::Conflict, detail(response))),
        503 | 504 => return Err(Error::unavailable(detail(response))),
        _ => return Err(refused(url, response)),
    }
    let body = response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_string();
    body.map_err(|error| no_answer(url, &error))
}

fn is_problem(response: &Response<ureq::Body>) -> bool {
    let media_type = response.headers().get("content-type");
    media_type.is_some_and(|value| value == "application/problem+json")
}

fn retry_after(response: &Response<ureq::Body>) -> Duration {
    let header = response.headers().get("retry-after");
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).min(RETRY_AFTER_MAX)
}

fn no_answer(url: &str, error: &ureq::Error) -> Error {
    Error::unavailable(format!("no answer from {url}: {error}"))
}

fn refused(url: &str, response: Response<ureq::Body>) -> Error {
    let status = response.status();
    Error::invalid(format!("{url} answered {status}: {}", detail(response)))
}

/// What a problem says, or the beginning of whatever came instead.
fn detail(mut response: Response<ureq::Body>) -> String {
    let body = response.body_mut().read_to_string().unwrap_or_default();
    match serde_json::from_str::<Problem>(&body) {
        Ok(problem) => problem.detail,
        Err(_) => body.chars().take(200).collect(),
    }
}
