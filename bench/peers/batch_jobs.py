"""The jobs as batch queries: no watermark, no epochs, every row counts. One JSON line for each run.

usage: batch_jobs.py duckdb|chdb JOB FOLDER RUNS
"""

import json
import sys

from measure import measured

COLUMNS = ["event_id", "user_id", "ts", "page", "referrer", "country", "device"]
# {events} is the table; every query ends in one row, so that what comes out is not copied into Python.
MINUTES = "SELECT {minute} AS minute, page, country, {counts} FROM {events} GROUP BY 1, 2, 3"
COUNTS = MINUTES.replace("{counts}", "count(*) AS n")
JOBS = {
    "decode": "SELECT count(*), " + ", ".join(f"max({column})" for column in COLUMNS) + " FROM {events}",
    "count": f"SELECT count(*), sum(n) FROM ({COUNTS})",
    "count_distinct": "SELECT count(*), sum(n), sum(users) FROM ("
    + MINUTES.replace("{counts}", "count(*) AS n, {distinct} AS users")
    + ")",
    "top_pages": "SELECT count(*), sum(n) FROM (SELECT *, row_number() OVER "
    f"(PARTITION BY minute, country ORDER BY n DESC, page) AS place FROM ({COUNTS})) WHERE place <= 10",
}


def duckdb_engine(folder):
    import duckdb

    types = ", ".join(f"{column}: '{'BIGINT' if column == 'ts' else 'VARCHAR'}'" for column in COLUMNS)
    connection = duckdb.connect()
    names = {
        "events": f"read_json('{folder}/*.jsonl', format='newline_delimited', columns={{{types}}})",
        "minute": "ts // 60000",
        "distinct": "count(DISTINCT user_id)",
    }
    return names, lambda sql: connection.execute(sql).fetchone()[0]


def chdb_engine(folder):
    import chdb

    types = ", ".join(f"{column} {'Int64' if column == 'ts' else 'String'}" for column in COLUMNS)
    names = {
        "events": f"file('{folder}/*.jsonl', JSONEachRow, '{types}')",
        "minute": "intDiv(ts, 60000)",
        "distinct": "uniqExact(user_id)",
    }
    return names, lambda sql: int(str(chdb.query(sql, "CSV")).split(",")[0])


def main():
    engine, job, folder, runs = sys.argv[1:]
    names, ask = {"duckdb": duckdb_engine, "chdb": chdb_engine}[engine](folder)
    sql = JOBS[job].format(**names)
    ask(sql)  # warms up
    for _ in range(int(runs)):
        print(json.dumps(measured(lambda: ask(sql))), flush=True)


main()
