#!/usr/bin/env bash
# Events through one pipeline after the other: events per CPU-second, wall, peak memory.
set -euo pipefail

events=10000000
runs=3
binary=target/release/millstream
dir=target/bench
pipelines=(decode count count_distinct count_hot count_lake top_pages sessions tumble hop tumble_country hop_country nexmark)

usage() {
  echo "usage: bench/run.sh [--events N] [--runs N] [--binary PATH] [--dir DIR] [PIPELINE ...]"
  echo "pipelines: ${pipelines[*]}"
}

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --events) events=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --help) usage; exit 0 ;;
    --*) usage >&2; exit 2 ;;
    *) chosen+=("$1"); shift ;;
  esac
done
[ ${#chosen[@]} -gt 0 ] && pipelines=("${chosen[@]}")
if [ ! -x "$binary" ]; then
  echo "error: \`$binary\` is not there: build it with cargo build --release" >&2
  exit 1
fi

# The number of a key in one line of flat JSON.
field() { sed -E "s/.*\"$2\": *([0-9.eE+-]+).*/\1/" <<< "$1"; }

mkdir -p "$dir"
results=$dir/results.json
: > "$results"
row="%-16s %4s %12s %9s %9s %18s %10s\n"
printf "$row" pipeline run events wall_s cpu_s events_per_cpu_s peak_MiB
for pipeline in "${pipelines[@]}"; do
  users=100000
  [ "$pipeline" = sessions ] && users=1000000
  file=$here/$pipeline.sql
  if [ "$pipeline" = nexmark ]; then
    file=pipelines/nexmark/q0.sql
    variables=(--var EVENTS="$events" --var SINK=blackhole)
  else
    input=$("$here/clicks.sh" "$binary" "$dir" "$events" $users)
    variables=(--var INPUT="$input")
    # Read once, so that the first run does not wait for the disk alone.
    cat "$input"/* > /dev/null
  fi
  for run in $(seq "$runs"); do
    data=$dir/data
    rm -rf "$data"
    summary=$("$binary" run "$file" "${variables[@]}" --data-dir "$data" --summary json \
      2> "$dir/$pipeline.log") || { cat "$dir/$pipeline.log" >&2; exit 1; }
    rows=$(field "$summary" rows_read)
    seconds=$(field "$summary" seconds)
    cpu=$(field "$summary" cpu_seconds)
    rss=$(field "$summary" peak_rss_bytes)
    if [ "$rows" != "$events" ]; then
      echo "error: $pipeline has read $rows of $events events: $summary" >&2
      exit 1
    fi
    rate=$(awk "BEGIN { printf \"%.0f\", $rows / $cpu }")
    mib=$(awk "BEGIN { printf \"%.0f\", $rss / 1048576 }")
    printf "$row" "$pipeline" "$run" "$rows" "$(printf %.2f "$seconds")" "$(printf %.2f "$cpu")" "$rate" "$mib"
    echo "{\"pipeline\":\"$pipeline\",\"run\":$run,\"events\":$rows,\"seconds\":$seconds,\"cpu_seconds\":$cpu,\"events_per_cpu_second\":$rate,\"peak_rss_bytes\":$rss}" >> "$results"
  done
done
rm -rf "$dir/data"
echo "as JSON: $results"
