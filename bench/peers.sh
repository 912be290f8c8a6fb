#!/usr/bin/env bash
# Millstream beside DuckDB, chdb and Flink, in turns on the same input: events per CPU-second and ratios.
set -euo pipefail

events=10000000
runs=3
binary=target/release/millstream
dir=target/bench
is_installing=
jobs=(decode count count_distinct top_pages sessions)

usage() {
  echo "usage: bench/peers.sh [--install] [--events N] [--runs N] [--binary PATH] [--dir DIR] [JOB ...]"
  echo "jobs: ${jobs[*]}"
  echo "--install puts the peers into DIR/venv, pinned, from PyPI (2 GB; Flink needs Java 17)"
}

cd "$(dirname "$0")/.."
chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --install) is_installing=yes; shift ;;
    --events) events=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --help) usage; exit 0 ;;
    --*) usage >&2; exit 2 ;;
    *) chosen+=("$1"); shift ;;
  esac
done
[ ${#chosen[@]} -gt 0 ] && jobs=("${chosen[@]}")
if [ ! -x "$binary" ]; then
  echo "error: \`$binary\` is not there: build it with cargo build --release" >&2
  exit 1
fi

mkdir -p "$dir"
python=$dir/venv/bin/python
if [ ! -x "$python" ]; then
  python3 -m venv "$dir/venv"
fi
if [ -n "$is_installing" ]; then
  "$python" -m pip install --quiet -r bench/peers/requirements.txt
  if command -v java > /dev/null; then
    "$python" -m pip install --quiet -r bench/peers/requirements-flink.txt
  else
    echo "skipped: flink (no java)" >&2
  fi
fi
for users in 100000 1000000; do
  bench/clicks.sh "$binary" "$dir" "$events" "$users" > /dev/null
done
exec "$python" bench/peers/run.py "$binary" "$dir" "$events" "$runs" "${jobs[@]}"
