use futures::StreamExt;

use super::*;

const LIVE: &str = "/api/v1/tables/pages/live";
/// Longest wait for something that comes at once.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

struct Watching {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Watching {
    async fn start(server: &TestServer, path: &str) -> Self {
        let request = Request::get(path)
            .body(Body::empty())
            .expect("the path is right");
        let response = router(server.state.clone()).oneshot(request).await;
        let response = response.expect("the router always answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event as its lines; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                if !event.starts_with(':') {
                    return Some(event);
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await;
            let chunk = chunk
                .expect("something comes in time")?
                .expect("the stream is sound");
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("it is text"));
        }
    }
}

#[tokio::test]
async fn a_snapshot_comes_first_and_then_every_commit() {
    let server = TestServer::new();
    server.commit(1, &[(0, "/a", 2), (0, "/b", 1)]);
    let mut watching = Watching::start(&server, LIVE).await;
    let expected = "event: snapshot\n\
        data: [{\"at\":\"1970-01-01 00:00:00\",\"page\":\"/a\",\"views\":2},\
        {\"at\":\"1970-01-01 00:00:00\",\"page\":\"/b\",\"views\":1}]";
    assert_eq!(watching.next().await.as_deref(), Some(expected));
    server.commit(2, &[(0, "/a", 3)]);
    let expected = "event: rows\n\
        data: [{\"at\":\"1970-01-01 00:00:00\",\"page\":\"/a\",\"views\":3}]";
    assert_eq!(watching.next().await.as_deref(), Some(expected));
    server.closing.send(true).expect("the stream listens");
    assert_eq!(watching.next().await, None, "the server goes down");
}

#[tokio::test]
async fn a_snapshot_has_the_newest_rows_only() {
    let server = TestServer::new();
    for minute in 0..5 {
        server.commit(
            1 + u64::try_from(minute).expect("small"),
            &[(minute, "/a", 1), (minute, "/b", 2)],
        );
    }
    let mut watching = Watching::start(&server, &format!("{LIVE}?limit=3")).await;
    let snapshot = watching.next().await.expect("it comes");
    let rows: Vec<&str> = snapshot.split("\"at\":\"1970-01-01 ").skip(1).collect();
    let times: Vec<&str> = rows.iter().map(|row| &row[..8]).collect();
    assert_eq!(times, ["00:03:00", "00:04:00", "00:04:00"]);
}

#[tokio::test]
async fn a_slow_reader_is_told_and_starts_over() {
    let server = TestServer::new();
    server.commit(1, &[(0, "/a", 0)]);
    let mut watching = Watching::start(&server, LIVE).await;
    assert!(
        watching
            .next()
            .await
            .expect("it comes")
            .starts_with("event: snapshot")
    );
    for epoch in 2..200 {
        server.commit(epoch, &[(0, "/a", i64::try_from(epoch).expect("small"))]);
    }
    let mut events = vec![];
    while !events
        .iter()
        .any(|event: &String| event.contains("\"views\":199"))
    {
        events.push(watching.next().await.expect("it comes"));
    }
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event.lines().next())
        .collect();
    assert!(kinds.contains(&"event: lagged"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"event: snapshot"));
}

#[tokio::test]
async fn tables_are_found_by_short_and_by_full_name() {
    let server = TestServer::new();
    server
        .get(LIVE)
        .await
        .check_problem(404, "unknown table `pages`");
    server.commit(1, &[(0, "/a", 2)]);
    for path in [LIVE, "/api/v1/tables/rt.pages/live"] {
        Watching::start(&server, path).await;
    }
    server
        .get("/api/v1/tables/other.pages/live")
        .await
        .check_problem(404, "`other.pages`");
    server
        .get(&format!("{LIVE}?limit=all"))
        .await
        .check_problem(400, "limit");
}
