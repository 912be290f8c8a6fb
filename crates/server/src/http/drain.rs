//! Reads the rest of a request's body when its answer does not need it.
//!
//! A connection that is closed while the client still sends is reset, and the client sees a broken
//! pipe in place of the answer. So the answer waits until the body has come, up to a limit. A
//! client that asked with `Expect: 100-continue` has not begun to send: it is answered at once.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt};
use tokio::sync::oneshot;

/// Most bytes that are read for nothing.
const BYTES_MAX: usize = 64 << 20;
/// Longest time that is spent on it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers as `next` does, but not before the body has been read or the limit is reached.
pub async fn drain(request: Request, next: Next) -> Response {
    let is_asked = request.headers().contains_key(header::EXPECT);
    if is_asked || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let (give_back, mut given_back) = oneshot::channel();
    let body = Body::from_stream(Lent {
        body: Some(body.into_data_stream()),
        give_back: Some(give_back),
    });
    let response = next.run(Request::from_parts(parts, body)).await;
    if let Ok(rest) = given_back.try_recv() {
        // Whether all of it came or not, the answer is sent now.
        let _ = tokio::time::timeout(PATIENCE, read(rest)).await;
    }
    response
}

async fn read(mut rest: BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(chunk)) = rest.next().await {
        bytes += chunk.len();
        if bytes > BYTES_MAX {
            return;
        }
    }
}

/// A body that goes back to where it came from, unless it was read to its end.
struct Lent {
    body: Option<BodyDataStream>,
    give_back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let next = body.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        next
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(give_back)) = (self.body.take(), self.give_back.take()) {
            // Nobody waits for it if the request was given up.
            let _ = give_back.send(body);
        }
    }
}
