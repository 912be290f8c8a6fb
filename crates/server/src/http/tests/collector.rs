use std::io::{Read, Write};

use serde_json::json;

use super::*;

const EVENTS: &str = "/v1/events/web.clicks";
const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn lines_are_stored_and_answered_with_their_offsets() {
    let server = TestServer::new();
    let path = format!("{EVENTS}?partition=1");
    let answer = server
        .post(&path, NDJSON, "{\"a\":1}\n\n{\"a\":2}\r\nnot json")
        .await;
    answer.check_json(json!({
        "topic": "web.clicks", "partition": 1, "count": 3, "first_offset": 0, "last_offset": 2
    }));
    let answer = server
        .post(&path, "application/json; charset=utf-8", "{\"a\":3}")
        .await;
    answer.check_json(json!({
        "topic": "web.clicks", "partition": 1, "count": 1, "first_offset": 3, "last_offset": 3
    }));
    let answer = server
        .post(&path, "application/json", "[{\"a\":4},{\"a\":5}]")
        .await;
    answer.check_json(json!({
        "topic": "web.clicks", "partition": 1, "count": 2, "first_offset": 4, "last_offset": 5
    }));
    assert_eq!(server.stored(), 6);
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("millstream_collector_events_total{topic=\"web.clicks\"} 6"));
    assert!(metrics.contains("millstream_collector_requests_total{status=\"200\"} 3"));
    assert!(metrics.contains("millstream_collector_append_seconds_count 3"));
}

#[tokio::test]
async fn without_a_partition_they_are_taken_in_turn() {
    let server = TestServer::new();
    for _ in 0..4 {
        assert_eq!(server.post(EVENTS, NDJSON, "{}").await.status, 200);
    }
    let topics = server.get("/api/v1/topics").await;
    let topics: serde_json::Value = serde_json::from_str(&topics.body).expect("it is JSON");
    let ends = [0, 1].map(|index| topics[0]["partitions"][index]["end_offset"].clone());
    assert_eq!(ends, [json!(2), json!(2)]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_nothing_is_stored() {
    let server = TestServer::new();
    let json = "application/json";
    let ok = "{}";
    server
        .post(EVENTS, "text/plain", ok)
        .await
        .check_problem(415, "`text/plain`");
    server
        .post(EVENTS, "", ok)
        .await
        .check_problem(415, "no content type");
    server
        .post("/v1/events/none", NDJSON, ok)
        .await
        .check_problem(404, "unknown topic `none`");
    server
        .post(EVENTS, json, "{\"a\":1")
        .await
        .check_problem(400, "not JSON");
    server
        .post(EVENTS, json, "[{}, 1]")
        .await
        .check_problem(400, "element 1");
    server
        .post(EVENTS, NDJSON, "\n \n")
        .await
        .check_problem(400, "no event");
    let query = format!("{EVENTS}?partition=two");
    server
        .post(&query, NDJSON, ok)
        .await
        .check_problem(400, "partition");
    let query = format!("{EVENTS}?partition=2");
    server
        .post(&query, NDJSON, ok)
        .await
        .check_problem(400, "partition");
    let get = server.get(EVENTS).await;
    get.check_problem(405, "GET");
    assert_eq!(server.stored(), 0);
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("millstream_collector_rejected_total{reason=\"media-type\"} 2"));
    assert!(metrics.contains("millstream_collector_rejected_total{reason=\"unknown-topic\"} 1"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let server = TestServer::new();
    let large = "{}\n".repeat(334);
    assert_eq!(large.len(), 1002);
    let answer = server.post(EVENTS, NDJSON, large.clone()).await;
    answer.check_problem(413, "expected at most 1000");
    // As a stream its length is not told beforehand.
    let chunks = large
        .into_bytes()
        .chunks(100)
        .map(<[u8]>::to_vec)
        .collect::<Vec<_>>();
    let chunks = chunks.into_iter().map(Ok::<_, std::convert::Infallible>);
    let body = Body::from_stream(futures::stream::iter(chunks));
    server
        .post(EVENTS, NDJSON, body)
        .await
        .check_problem(413, "expected at most 1000");
    assert_eq!(server.stored(), 0);
    let fits = "{}\n".repeat(333);
    assert_eq!(server.post(EVENTS, NDJSON, fits).await.status, 200);
    assert_eq!(server.stored(), 333);
}

#[tokio::test]
async fn too_much_at_once_is_asked_to_come_back() {
    let server = TestServer::new();
    let budget = server.state.collector_budget.clone();
    let others = budget.try_acquire_owned().expect("one request of budget");
    let answer = server.post(EVENTS, NDJSON, "{}").await;
    answer.check_problem(429, "try again");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(server.stored(), 0);
    drop(others);
    assert_eq!(server.post(EVENTS, NDJSON, "{}").await.status, 200);
    assert_eq!(
        server.post(EVENTS, NDJSON, "{}").await.status,
        200,
        "the budget came back"
    );
}

#[tokio::test]
async fn a_full_disk_is_said_and_over_when_there_is_space() {
    let server = TestServer::new();
    assert_eq!(server.post(EVENTS, NDJSON, "{}").await.status, 200);
    server.storage.is_full.store(true, Ordering::SeqCst);
    let answer = server.post(EVENTS, NDJSON, "{}\n{}").await;
    answer.check_problem(503, "no space left");
    assert!(!answer.header("retry-after").is_empty());
    server
        .get("/readyz")
        .await
        .check_problem(503, "cannot be written");
    assert_eq!(server.stored(), 1);
    server.storage.is_full.store(false, Ordering::SeqCst);
    assert_eq!(server.post(EVENTS, NDJSON, "{}").await.status, 200);
    assert_eq!(server.stored(), 2);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let server = TestServer::new();
    let utf16 = "application/json; charset=UTF-16";
    let answer = server.post(EVENTS, utf16, "{}").await;
    answer.check_problem(415, "UTF-16");
    let misspelled = format!("{EVENTS}?partitoin=1");
    let answer = server.post(&misspelled, NDJSON, "{}").await;
    answer.check_problem(400, "partitoin");
    assert_eq!(server.stored(), 0);
}

/// Sends `head` and then `body` over a real connection to a real server; the status that comes.
async fn status_over_tcp(head: &str, body: Vec<u8>) -> String {
    let server = TestServer::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    let serve = axum::serve(listener, router(server.state.clone()));
    let serving = tokio::spawn(async move { serve.await });
    let head = format!("{head}\r\nhost: a\r\ncontent-type: {NDJSON}\r\n\r\n");
    let talk = move || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        std::io::Result::Ok(String::from_utf8_lossy(&status).into_owned())
    };
    let status = tokio::task::spawn_blocking(talk).await.expect("no panic");
    serving.abort();
    status.expect("the answer can be read")
}

#[tokio::test]
async fn a_refusal_can_be_read_by_a_client_that_is_still_sending() {
    // More than what sockets buffer, so that it must be read by someone.
    let length = 16 << 20;
    let body = || vec![b'a'; length];
    for (request, status) in [
        ("POST /v1/events/nowhere", "404"),
        ("POST /v1/events/web.clicks", "413"),
        ("POST /nowhere", "404"),
        ("DELETE /api/v1/sql", "405"),
    ] {
        let head = format!("{request} HTTP/1.1\r\ncontent-length: {length}");
        let found = status_over_tcp(&head, body()).await;
        assert_eq!(found, format!("HTTP/1.1 {status}"), "{request}");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_answered_at_once() {
    let head =
        "POST /v1/events/nowhere HTTP/1.1\r\ncontent-length: 16000000\r\nexpect: 100-continue";
    assert_eq!(status_over_tcp(head, vec![]).await, "HTTP/1.1 404");
    let head = "POST /v1/events/web.clicks HTTP/1.1\r\ncontent-length: 3\r\nexpect: 100-continue";
    assert_eq!(status_over_tcp(head, vec![]).await, "HTTP/1.1 100");
}
