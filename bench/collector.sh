#!/usr/bin/env bash
# The HTTP collector: events that were accepted, synced and acknowledged per second, while a
# pipeline reads them; CPU and memory of the server.
set -euo pipefail

events=3000000
clients=2
port=18080
binary=target/release/millstream
dir=target/bench

usage() {
  echo "usage: bench/collector.sh [--events N] [--clients N] [--port N] [--binary PATH] [--dir DIR]"
}

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
while [ $# -gt 0 ]; do
  case $1 in
    --events) events=$2; shift 2 ;;
    --clients) clients=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
if [ ! -x "$binary" ]; then
  echo "error: \`$binary\` is not there: build it with cargo build --release" >&2
  exit 1
fi

data=$dir/collector
mkdir -p "$dir"
rm -rf "$data"
"$binary" run "$here/collector.sql" --data-dir "$data" --listen "127.0.0.1:$port" \
  2> "$dir/collector.log" &
server=$!
trap 'kill $server 2> /dev/null; wait $server 2> /dev/null; rm -rf "$data"' EXIT

ready() { (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; }
for _ in $(seq 100); do
  ready && break
  kill -0 $server 2> /dev/null || { cat "$dir/collector.log" >&2; exit 1; }
  read -rt 0.1 <> <(:) || true
done

ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }
rss_mib() { awk '/VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$server/status"; }
now() { date +%s.%N; }

send() {
  local pids=() client start
  for client in $(seq "$clients"); do
    # Each part begins where the one before it ended, at the generator's 8,000 events a second.
    start=$(date -u -d "@$((1750000000 + ($2 - 1) * $1 / clients / 8000))" '+%F %T')
    "$binary" generate clicks --count $(($1 / clients)) --seed "$client" --start "$start" \
      --to "http://127.0.0.1:$port/v1/events/bench.clicks" > /dev/null 2>> "$dir/collector.log" &
    pids+=($!)
  done
  for client in "${pids[@]}"; do wait "$client"; done
}

results=$dir/collector.json
: > "$results"
row="%-6s %10s %9s %10s %13s %8s\n"
printf "$row" part events wall_s events_s server_cpu_s rss_MiB
# Three parts: memory that grows shows as a growing last column.
for part in 1 2 3; do
  count=$((events / 3 / clients * clients))
  start=$(now); cpu_start=$(ticks)
  send $count $part
  end=$(now); cpu_end=$(ticks)
  wall=$(awk "BEGIN { printf \"%.2f\", $end - $start }")
  rate=$(awk "BEGIN { printf \"%.0f\", $count / ($end - $start) }")
  cpu=$(awk "BEGIN { printf \"%.2f\", ($cpu_end - $cpu_start) / $(getconf CLK_TCK) }")
  rss=$(rss_mib)
  printf "$row" $part $count "$wall" "$rate" "$cpu" "$rss"
  echo "{\"part\":$part,\"events\":$count,\"seconds\":$wall,\"events_per_second\":$rate,\"server_cpu_seconds\":$cpu,\"rss_mib\":$rss}" >> "$results"
done
echo "as JSON: $results"
