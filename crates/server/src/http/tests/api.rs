use millstream_engine::checkpoint::Manifest;
use millstream_engine::status::JobState;
use serde_json::json;

use super::*;

fn with_pipeline(state: JobState, reason: Option<&str>) -> TestServer {
    let server = TestServer::new();
    let mut status = samples::status("web_clicks", 1000, Some(1_750_000_000_000));
    status.state = state;
    status.reason = reason.map(str::to_owned);
    server.state.parts.jobs.add(
        &samples::plan("web_clicks"),
        Box::new(move || status.clone()),
    );
    server
}

#[tokio::test]
async fn pipelines_are_told_with_rate_lag_and_plan() {
    let server = with_pipeline(JobState::Running, None);
    let list = server.get("/api/v1/pipelines").await;
    let list: serde_json::Value = serde_json::from_str(&list.body).expect("it is JSON");
    assert_eq!(list[0]["pipeline"], "web_clicks");
    assert_eq!(list[0]["state"], "running");
    assert_eq!(list[0]["sources"][0]["rows_read"], 1000);
    assert!(list[0]["rate_rows_per_second"].is_number());
    assert!(list[0]["lag_ms"].as_i64() > Some(0));
    let one = server.get("/api/v1/pipelines/web_clicks").await;
    let one: serde_json::Value = serde_json::from_str(&one.body).expect("it is JSON");
    assert_eq!(one["epoch"], 7);
    assert_eq!(
        server.get("/api/v1/pipelines/web_clicks/plan").await.status,
        200
    );
    for path in ["/api/v1/pipelines/other", "/api/v1/pipelines/other/plan"] {
        server
            .get(path)
            .await
            .check_problem(404, "there are: web_clicks");
    }
}

#[tokio::test]
async fn metrics_say_what_the_status_says() {
    let server = with_pipeline(JobState::Stalled, Some("storage full"));
    for _ in 0..2 {
        let metrics = server.get("/metrics").await;
        assert!(metrics.header("content-type").starts_with("text/plain"));
        for line in [
            "millstream_source_rows_read_total{pipeline=\"web_clicks\",table=\"clicks\"} 1000",
            "millstream_source_rows_late_total{pipeline=\"web_clicks\",table=\"clicks\"} 0",
            "millstream_pipeline_epoch{pipeline=\"web_clicks\"} 7",
            "millstream_pipeline_epoch_seconds{pipeline=\"web_clicks\"} 0.02",
            "millstream_pipeline_state{pipeline=\"web_clicks\",state=\"stalled\"} 1",
            "millstream_pipeline_state{pipeline=\"web_clicks\",state=\"running\"} 0",
            "# TYPE millstream_source_rows_read_total counter",
            "# HELP millstream_pipeline_epoch The last committed epoch",
        ] {
            let is_there = metrics.body.lines().any(|found| found == line);
            assert!(is_there, "expected `{line}` in:\n{}", metrics.body);
        }
        assert!(
            metrics
                .body
                .contains("millstream_pipeline_watermark_lag_seconds")
        );
        assert!(metrics.body.contains("millstream_process_cpu_seconds"));
    }
}

#[tokio::test]
async fn ready_means_that_every_pipeline_works() {
    for state in [JobState::Running, JobState::Finished] {
        assert_eq!(
            with_pipeline(state, None).get("/readyz").await.status,
            200,
            "{state:?}"
        );
    }
    for state in [
        JobState::Starting,
        JobState::Stalled,
        JobState::Stopped,
        JobState::Failed,
    ] {
        let server = with_pipeline(state, Some("disk on fire"));
        server
            .get("/readyz")
            .await
            .check_problem(503, "`web_clicks` is");
        server
            .get("/readyz")
            .await
            .check_problem(503, "disk on fire");
        assert_eq!(
            server.get("/healthz").await.status,
            200,
            "it is alive all the same"
        );
    }
}

#[tokio::test]
async fn a_question_is_answered_in_the_form_asked_for() {
    let server = TestServer::new();
    server.commit(1, &[(0, "/a", 2), (0, "/b", 1), (1, "/a", 5)]);
    let sql = "SELECT page, SUM(views) AS views FROM pages GROUP BY page ORDER BY page";
    let answer = server.ask(sql).await;
    let mut json: serde_json::Value = serde_json::from_str(&answer.body).expect("it is JSON");
    assert!(json["elapsed_ms"].take().is_number());
    let expected = json!({
        "columns": [{"name": "page", "type": "STRING"}, {"name": "views", "type": "BIGINT"}],
        "rows": [["/a", 7], ["/b", 1]],
        "row_count": 2,
        "truncated": false,
        "elapsed_ms": null
    });
    assert_eq!(json, expected);

    let body = json!({ "query": "SELECT at, page FROM rt.pages WHERE views = 5" }).to_string();
    let json = "application/json";
    let csv = server
        .post("/api/v1/sql?format=csv", json, body.clone())
        .await;
    assert_eq!(csv.body, "at,page\n1970-01-01 00:01:00,/a\n");
    let objects = server
        .post("/api/v1/sql?format=objects", json, body.clone())
        .await;
    assert_eq!(
        objects.body,
        r#"[{"at":"1970-01-01 00:01:00","page":"/a"}]"#
    );
    let table = server
        .post("/api/v1/sql?format=table", json, body.clone())
        .await;
    assert!(
        table.body.contains("| 1970-01-01 00:01:00 | /a   |"),
        "{}",
        table.body
    );
    let request = Request::post("/api/v1/sql").header("content-type", json);
    let request = request.header("accept", "text/csv").body(Body::from(body));
    let csv = server.send(request.expect("it is right")).await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.body, "at,page\n1970-01-01 00:01:00,/a\n");
}

#[tokio::test]
async fn long_answers_say_that_they_are_cut() {
    let server = TestServer::new();
    server.commit(1, &[(0, "/a", 1), (0, "/b", 1), (0, "/c", 1), (0, "/d", 1)]);
    let answer = server.ask("SELECT page FROM pages").await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).expect("it is JSON");
    assert_eq!(
        (&json["row_count"], &json["truncated"]),
        (&json!(3), &json!(true))
    );
}

#[tokio::test]
async fn questions_that_cannot_be_answered_are_problems() {
    let server = TestServer::new();
    server
        .ask("SELECT * FROM nowhere")
        .await
        .check_problem(400, "nowhere");
    server.ask("SELEC 1").await.check_problem(400, "");
    server
        .ask("CREATE TABLE a (b INT)")
        .await
        .check_problem(400, "");
    let json = "application/json";
    server
        .post("/api/v1/sql", json, "{")
        .await
        .check_problem(400, "");
    server
        .post("/api/v1/sql", json, "{\"sql\":\"x\"}")
        .await
        .check_problem(400, "query");
    server
        .post("/api/v1/sql", "application/json; charset=utf-16", "{}")
        .await
        .check_problem(415, "UTF-8");
    server
        .get("/api/v1/tables/pages/live?limt=1")
        .await
        .check_problem(400, "limt");
    server
        .post("/api/v1/sql", "text/plain", "x")
        .await
        .check_problem(415, "");
    let body = json!({ "query": "SELECT 1" }).to_string();
    server
        .post("/api/v1/sql?format=xml", json, body.clone())
        .await
        .check_problem(400, "xml");
    server
        .post("/api/v1/sql?formt=csv", json, body)
        .await
        .check_problem(400, "formt");
    server.get("/api/v1/sql").await.check_problem(405, "GET");
}

#[tokio::test]
async fn tables_are_told_with_columns_and_key() {
    let server = TestServer::new();
    server.commit(1, &[(0, "/a", 2), (0, "/b", 1)]);
    let answer = server.get("/api/v1/tables").await;
    let mut json: serde_json::Value = serde_json::from_str(&answer.body).expect("it is JSON");
    assert!(json[0]["bytes"].take().as_u64() > Some(0));
    let expected = json!([{
        "database": "rt",
        "name": "pages",
        "columns": [
            {"name": "at", "type": "TIMESTAMP(3)"},
            {"name": "page", "type": "STRING"},
            {"name": "views", "type": "BIGINT"}
        ],
        "primary_key": ["at", "page"],
        "rows": 2,
        "bytes": null
    }]);
    assert_eq!(json, expected);
}

#[tokio::test]
async fn the_page_is_served_with_a_policy_and_other_paths_are_problems() {
    let server = TestServer::new();
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, media_type),
            "{path}"
        );
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'self'"
        );
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert!(!answer.body.is_empty());
    }
    server
        .get("/nothing")
        .await
        .check_problem(404, "`/nothing`");
    server
        .get("/api/v1/nothing")
        .await
        .check_problem(404, "`/api/v1/nothing`");
    server
        .post("/", "text/plain", "")
        .await
        .check_problem(405, "POST");
}

/// Every file that the page names is in the binary.
#[tokio::test]
async fn the_page_lacks_no_file() {
    let server = TestServer::new();
    let mut seen = vec!["/".to_owned(), "/docs".to_owned()];
    let mut next = 0;
    while next < seen.len() {
        let text = server.get(&seen[next]).await.body;
        for quoted in text.split(['"', '\'', '\n']) {
            let file = quoted.trim_start_matches("./").trim_start_matches('/');
            let is_file = [".js", ".css", ".svg"]
                .iter()
                .any(|end| file.ends_with(end));
            let path = format!("/{file}");
            if is_file && !file.contains([':', ' ']) && !seen.contains(&path) {
                assert_eq!(
                    server.get(&path).await.status,
                    200,
                    "{path}, named by {}",
                    seen[next]
                );
                seen.push(path);
            }
        }
        next += 1;
    }
    assert!(seen.len() > 4, "{seen:?}");
}

#[tokio::test]
async fn the_openapi_document_names_every_route() {
    let answer = TestServer::new().get("/api/v1/openapi.json").await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).expect("it is JSON");
    let paths = json["paths"].as_object().expect("it is an object");
    for path in [
        "/v1/events/{topic}",
        "/api/v1/sql",
        "/api/v1/pipelines",
        "/api/v1/pipelines/{name}",
        "/api/v1/pipelines/{name}/plan",
        "/api/v1/tables",
        "/api/v1/tables/{table}/live",
        "/api/v1/topics",
        "/api/v1/lake",
        "/api/v1/lake/{table}/compact",
        "/api/v1/lake/{table}/expire",
        "/metrics",
        "/healthz",
        "/readyz",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    // Whatever is named is there.
    let schemas = json["components"]["schemas"].as_object();
    let schemas = schemas.expect("it is an object");
    let text = json.to_string();
    for named in text.split("#/components/schemas/").skip(1) {
        let name = named.split('"').next().expect("a name ends");
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(schemas.contains_key("Problem"));
}

#[tokio::test]
async fn a_handler_that_panics_is_a_problem() {
    let server = TestServer::new();
    let panicking: Box<dyn Fn() -> millstream_engine::status::JobStatus + Send + Sync> =
        Box::new(|| panic!("on purpose"));
    server.state.parts.jobs.add(&samples::plan("p"), panicking);
    server
        .get("/api/v1/pipelines")
        .await
        .check_problem(500, "defect");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn savepoints_of_a_running_pipeline_are_made_listed_and_dropped() {
    let server = with_pipeline(JobState::Running, None);
    let path = "/api/v1/pipelines/web_clicks/savepoints";
    let make = |name: &'static str| {
        let body = json!({ "name": name }).to_string();
        server.post(path, "application/json", body)
    };
    make("a").await.check_problem(400, "has no epoch yet");
    let manifest = Manifest {
        pipeline: "web_clicks".into(),
        fingerprint: "00ff".into(),
        plan: None,
        incarnation: Incarnation(0),
        epoch: Epoch(7),
        is_claim: false,
        previous: None,
        parallelism: 1,
        finished: false,
        processing_ms: None,
        sources: Default::default(),
        nodes: vec![],
        segments: vec![],
        sinks: Default::default(),
    };
    let file = "pipelines/web_clicks/manifests/0000000000-00000000000000000007";
    let bytes = manifest.encode().expect("it can be written");
    server.storage.put(file, &bytes).expect("there is space");
    let made = make("a").await;
    assert_eq!(made.status, 201);
    let made: serde_json::Value = serde_json::from_str(&made.body).expect("it is JSON");
    assert_eq!((&made["epoch"], &made["plan"]), (&7.into(), &"00ff".into()));
    make("a").await.check_problem(409, "is there already");
    make("/")
        .await
        .check_problem(400, "expected 1 to 100 letters");
    let list = server.get(path).await;
    let list: serde_json::Value = serde_json::from_str(&list.body).expect("it is JSON");
    assert_eq!(list, json!([made]));
    let other = "/api/v1/pipelines/other/savepoints";
    server
        .get(other)
        .await
        .check_problem(404, "unknown pipeline `other`");
    let unknown = server.delete(&format!("{path}/b")).await;
    unknown.check_problem(404, "no savepoint `b`; there are: `a`");
    assert_eq!(server.delete(&format!("{path}/a")).await.status, 204);
    assert_eq!(server.get(path).await.body, "[]");
}
