#!/usr/bin/env python3
"""Lake tables as other engines see them.

    tests/lake/run.py [MILLSTREAM]      by default target/release/millstream, or what MILLSTREAM_BIN names

Millstream writes a table; pyiceberg, polars and ClickHouse's engine (chdb) read it, with equal counts, sums
and columns: after appends, after rows that pyiceberg appends and deletes, after an added column, compaction
and expiry. Needs `install.sh`, which it runs; where PyPI cannot be reached it is skipped, except in CI.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parent.parent / "target/lake-engines/bin/python"

if not os.environ.get("MILLSTREAM_LAKE_TEST"):
    installed = subprocess.run([HERE / "install.sh"])
    if installed.returncode == 3 and not os.environ.get("CI"):
        print("skipped: lake (PyPI cannot be reached)")
        sys.exit(0)
    if installed.returncode:
        sys.exit(installed.returncode)
    os.environ["MILLSTREAM_LAKE_TEST"] = "1"
    os.execv(PYTHON, [str(PYTHON), __file__, *sys.argv[1:]])

os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"
import chdb
import polars
import pyarrow
from pyiceberg.catalog.sql import SqlCatalog

BINARY = os.environ.get("MILLSTREAM_BIN", str(HERE.parent.parent / "target/release/millstream"))
if len(sys.argv) > 1:
    BINARY = sys.argv[1]
BINARY = str(pathlib.Path(BINARY).resolve())
WORK = pathlib.Path(tempfile.mkdtemp(prefix="millstream-lake-")).resolve()
DATA = WORK / "data"
# ClickHouse's engine reads files below the folder in which it was started.
os.chdir("/")
DAY = 86_400_000
FIRST_MS = 1_750_000_000_000
ROWS = 20_000

PIPELINE = """
SET 'pipeline.name' = '{name}';
SET 'parallelism.default' = '2';
CREATE TABLE clicks (id BIGINT, page STRING, price DOUBLE, ts BIGINT, country STRING,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR event_time AS event_time)
WITH ('connector' = 'filesystem', 'path' = '{input}', 'format' = 'json');
CREATE TABLE clicks_raw (id BIGINT, page STRING, price DOUBLE, event_time TIMESTAMP_LTZ(3){column})
WITH ('connector' = 'iceberg', 'partitioning' = 'day(event_time)');
INSERT INTO clicks_raw SELECT id, page, price, event_time{value} FROM clicks;
"""


def millstream(*arguments):
    command = [BINARY, *arguments]
    done = subprocess.run(command, cwd=WORK, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def lake(action, *arguments):
    return json.loads(millstream("lake", action, "clicks_raw", "--data-dir", str(DATA), "--json", *arguments))[0]


def rows(ids):
    for row in ids:
        yield {"id": row, "page": f"/p/{row % 7}", "price": row % 100 / 4, "ts": FIRST_MS + row % 3 * DAY,
               "country": "DE"}


def run(name, ids, has_country=False):
    """Appends rows with these ids, by a pipeline of its own."""
    folder = WORK / name
    folder.mkdir()
    for part in range(2):
        with open(folder / f"{part}.jsonl", "w") as out:
            for row in rows(ids[part::2]):
                out.write(json.dumps(row) + "\n")
    text = PIPELINE.format(name=name, input=folder, column=", country STRING" if has_country else "",
                           value=", country" if has_country else "")
    (WORK / f"{name}.sql").write_text(text)
    millstream("run", f"{name}.sql", "--data-dir", str(DATA))


def catalog():
    return SqlCatalog("default", uri=f"sqlite:///{DATA}/lake/catalog.db", warehouse=f"file://{DATA}/lake/warehouse")


def table():
    return catalog().load_table("default.clicks_raw")


def seen():
    """What each engine sees: rows, sum of ids and prices, rows of one day, columns."""
    found = table()
    location = found.location().removeprefix("file://")
    frame = found.scan().to_arrow()
    columns = frame.column_names
    second = f"{(FIRST_MS + DAY) // 1000}"
    by_day = found.scan(row_filter=f"event_time == '{iso(FIRST_MS + DAY)}'").to_arrow().num_rows
    total = lambda name: pyarrow.compute.sum(frame[name]).as_py()
    result = {"pyiceberg": (frame.num_rows, total("id"), round(total("price"), 3), by_day, columns)}
    lazy = polars.scan_iceberg(found)
    collected = lazy.select(polars.len(), polars.col("id").sum().alias("i"), polars.col("price").sum().alias("p")).collect()
    day = lazy.filter(polars.col("event_time").dt.epoch("s") == int(second)).select(polars.len()).collect().item()
    count, ids, prices = collected.row(0)
    result["polars"] = (count, ids, round(prices, 3), day, lazy.collect_schema().names())
    source = f"icebergLocal('{location}')"
    query = f"SELECT count(), sum(id), round(sum(price), 3), countIf(toUnixTimestamp(event_time) = {second}) FROM {source}"
    values = json.loads(str(chdb.query(query, "JSONCompact")))["data"][0]
    described = json.loads(str(chdb.query(f"DESCRIBE {source}", "JSONCompact")))["data"]
    result["chdb"] = (int(values[0]), int(values[1]), float(values[2]), int(values[3]), [row[0] for row in described])
    return result


def iso(ms):
    import datetime
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).isoformat()


def check(step, ids, columns):
    made = list(rows(ids))
    day = sum(row["ts"] == FIRST_MS + DAY for row in made)
    expected = (len(made), sum(row["id"] for row in made), round(sum(row["price"] for row in made), 3), day, columns)
    wrong = {name: found for name, found in seen().items() if found != expected}
    if wrong:
        sys.exit(f"{step}: expected {expected}, found {wrong}; the data is in {WORK}")
    print(f"{step}: {expected[0]} rows, equal in all engines")


columns = ["id", "page", "price", "event_time"]
ids = list(range(ROWS))
run("one", ids[: ROWS // 2])
run("two", ids[ROWS // 2 :])
check("two pipelines", ids, columns)
before = lake("status")
assert before["snapshots"] >= 2 and before["rows"] == ROWS, before

more = list(range(ROWS, ROWS + 30))
schema = table().schema().as_arrow()
made = list(rows(more))
values = [[row["id"] for row in made], [row["page"] for row in made], [row["price"] for row in made],
          [row["ts"] * 1000 for row in made]]
arrays = [pyarrow.array(column, type=field.type) for column, field in zip(values, schema)]
table().append(pyarrow.Table.from_arrays(arrays, schema=schema))
table().delete("id < 100")
ids = ids[100:] + more
check("pyiceberg appends and deletes", ids, columns)

columns = columns + ["country"]
third = list(range(ROWS + 30, ROWS + 5030))
run("three", third, has_country=True)
ids = ids + third
check("an added column", ids, columns)

done = lake("compact")
assert done["files_in"] > done["files_out"] >= 3, done
check("compaction", ids, columns)
done = lake("expire", "--older-than", "0s")
assert done["snapshots"] >= 4 and done["files_deleted"] > 0, done
check("expiry", ids, columns)
after = lake("status")
assert after["snapshots"] == 1 and after["files"] == 3, after
there = sum(1 for _ in (DATA / "lake/warehouse").rglob("*.parquet"))
assert there == after["files"], f"{there} data files are there, {after['files']} belong to the table"

fourth = list(range(ROWS + 5030, ROWS + 6000))
run("four", fourth, has_country=True)
ids = ids + fourth
check("Millstream goes on", ids, columns)

# While a process runs on the data directory, that is asked. Then it is killed, and goes on.
(WORK / "live.sql").write_text("""
SET 'pipeline.name' = 'live';
CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000');
CREATE TABLE live (id BIGINT) WITH ('connector' = 'iceberg', 'commit.max-age' = '100 ms');
INSERT INTO live SELECT id FROM numbers;
""")


def served(work):
    """Does `work` while the pipeline runs, once it has made three more snapshots."""
    command = [BINARY, "run", "live.sql", "--data-dir", str(DATA), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, cwd=WORK, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if line.startswith("serving "):
                break
        url = line.split()[1] + "/api/v1/lake"
        deadline = time.monotonic() + 60
        first = None
        while time.monotonic() < deadline:
            with urllib.request.urlopen(url) as answer:
                views = [view for view in json.load(answer) if view["table"] == "default.live"]
            made = views[0]["snapshots"] if views else 0
            first = made if first is None else first
            if made >= first + 3:
                return work()
            time.sleep(0.1)
        sys.exit("no three snapshots in 60 s")
    finally:
        process.kill()
        process.wait()


def live(action, *arguments):
    return json.loads(millstream("lake", action, "live", "--data-dir", str(DATA), "--json", *arguments))[0]


done = served(lambda: (live("compact"), live("expire", "--older-than", "0s")))
assert done[0]["files_in"] > done[0]["files_out"] and done[1]["snapshots"] > 0, done
served(lambda: None)
found = catalog().load_table("default.live").scan().to_arrow()["id"].to_pylist()
assert sorted(found) == list(range(1, len(found) + 1)), f"{len(found)} rows, {len(set(found))} different"
print(f"asked through the server, killed twice: {len(found)} rows, each once")
subprocess.run(["rm", "-rf", str(WORK)])
