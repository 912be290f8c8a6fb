#!/usr/bin/env python3
"""check-demo.py [BINARY [SECONDS]]: runs `millstream demo`, looks at what it serves, and adds up.

While it runs: health, the page and its files, pipelines, tables, topics, SQL, a live table, metrics,
OpenAPI, and a request that must be refused. After it has ended: exit code 0, and what was
acknowledged = read = on time + late + undecodable, in its own words and in its tables; surges are
among the anomalies; the lake has every click.
"""
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BINARY = sys.argv[1] if len(sys.argv) > 1 else "target/release/millstream"
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
CHECK = re.compile(
    r"check: (\d+) acknowledged, (\d+) read = (\d+) on time \+ (\d+) late \+ (\d+) undecodable: ok"
)
LAKE = re.compile(r"lake: lake\.clicks_raw: rows=(\d+) in files=(\d+), bytes=\d+")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, body=None, content_type="application/json"):
    """Status, media type and text of an answer."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read().decode()


def get_json(url, body=None):
    status, media_type, text = get(url, body)
    assert (status, media_type) == (200, "application/json"), f"{url}: {status} {media_type} {text}"
    return json.loads(text)


def wait_for(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


def is_ready(url):
    try:
        return get(f"{url}/readyz")[0] == 200
    except OSError:
        return False


def check_page(url):
    status, media_type, page = get(f"{url}/")
    assert (status, media_type) == (200, "text/html"), f"the page: {status} {media_type}"
    files = re.findall(r'(?:src|href)="(?!https?:|#|data:)/?([^"]+)"', page)
    assert files, "the page names no files"
    for file in files:
        status, media_type, _ = get(f"{url}/{file}")
        assert status == 200, f"/{file}: {status}"
    print(f"page: {len(page)} bytes and {len(files)} files")


def check_live(url):
    """The first event of a live table is its newest rows."""
    with urllib.request.urlopen(f"{url}/api/v1/tables/dead_clicks/live", timeout=10) as stream:
        event, data = stream.readline().decode().strip(), stream.readline().decode().strip()
    if not event.startswith("event:"):
        event, data = data, event
    assert event == "event: snapshot", f"live: {event}"
    assert isinstance(json.loads(data.removeprefix("data:")), list), f"live: {data}"
    print("live: snapshot")


def check_served(url):
    pipeline = lambda: get_json(f"{url}/api/v1/pipelines")[0]
    wait_for("rows are read", lambda: sum(s["rows_read"] for s in pipeline()["sources"]) > 1000)
    view = pipeline()
    assert view["state"] == "running", f"pipeline: {view['state']} {view['reason']}"
    for source in view["sources"]:
        parts = source["rows_on_time"] + source["rows_late"] + source["rows_undecodable"]
        assert source["rows_read"] == parts, f"{source}"
    print(f"pipeline: epoch {view['epoch']}, barrier {view['barrier_ms']:.1f} ms, "
          f"epoch {view['epoch_ms']:.1f} ms, {view['rate_rows_per_second']:.0f} rows/s")
    check_page(url)
    check_live(url)
    tables = {table["name"] for table in get_json(f"{url}/api/v1/tables")}
    assert {"page_minute_agg", "anomalies", "late_clicks", "dead_clicks"} <= tables, f"tables: {tables}"
    topics = {topic["topic"] for topic in get_json(f"{url}/api/v1/topics")}
    assert "web.clicks" in topics, f"topics: {topics}"
    query = json.dumps({"query": "SELECT COUNT(*) AS n FROM dead_clicks"}).encode()
    assert get_json(f"{url}/api/v1/sql", query)["row_count"] == 1
    paths = get_json(f"{url}/api/v1/openapi.json")["paths"]
    assert "/v1/events/{topic}" in paths, f"openapi: {sorted(paths)}"
    status, media_type, text = get(f"{url}/v1/events/no.such.topic", b"{}")
    assert (status, media_type) == (404, "application/problem+json"), f"{status} {text}"
    metrics = get(f"{url}/metrics")[2]
    for name in ("millstream_collector_events_total", "millstream_source_rows_read_total",
                 "millstream_pipeline_epoch", "millstream_sink_rows_total"):
        assert re.search(rf"^{name}\b", metrics, re.M), f"metrics: no {name}"
    print(f"tables {len(tables)}, topics {len(topics)}, OpenAPI paths {len(paths)}, "
          f"metrics {len(metrics.splitlines())} lines")


def ask(data, query):
    command = [BINARY, "sql", query, "--data-dir", data, "--format", "json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(answer.stdout)[0]["n"] or 0


def check_sums(data, log):
    found = CHECK.search(log)
    assert found, "no line `check: … ok` at the end"
    acknowledged, read, on_time, late, undecodable = map(int, found.groups())
    assert acknowledged == read == on_time + late + undecodable, found.group(0)
    assert late > 0 and undecodable > 0, found.group(0)
    # Both queries share the step that counts minutes, so a late click is in the table once.
    assert ask(data, "SELECT COUNT(*) AS n FROM late_clicks") == late, found.group(0)
    assert ask(data, "SELECT COUNT(*) AS n FROM dead_clicks") == undecodable, found.group(0)
    counted = ask(data, "SELECT CAST(SUM(views) AS BIGINT) AS n FROM page_minute_agg")
    # The last windows are still open.
    assert counted <= on_time, f"{counted} views of {on_time} clicks"
    # Each third minute has a surge, and the demo begins with a quarter of an hour of clicks. Chance
    # alone does not come to eight deviations.
    surges = ask(data, "SELECT COUNT(*) AS n FROM anomalies WHERE z > 8")
    assert surges > 0, "no surge was found"
    lake = LAKE.search(log)
    assert lake, "no line about clicks_raw at the end"
    rows, files = map(int, lake.groups())
    assert rows == on_time + late and files > 0, f"{lake.group(0)} of {on_time + late} clicks"
    print(f"{lake.group(0)}")
    print(f"{found.group(0)}; {counted} views in closed windows, {surges} surges found")


with tempfile.TemporaryDirectory() as folder:
    data, url = f"{folder}/data", f"http://127.0.0.1:{free_port()}"
    with open(f"{folder}/log", "w+") as log:
        command = [BINARY, "demo", "--duration", f"{SECONDS}s", "--data-dir", data]
        command += ["--listen", url.removeprefix("http://")]
        demo = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for("the demo is ready", lambda: is_ready(url) or demo.poll() is not None)
            check_served(url)
            code = demo.wait(timeout=SECONDS + 60)
            log.seek(0)
            text = log.read()
            assert code == 0, f"exit code {code}"
            check_sums(data, text)
        except BaseException:
            demo.kill()
            demo.wait()
            log.seek(0)
            print(log.read()[-4000:], file=sys.stderr)
            raise
print("the demo serves what it should, and adds up")
