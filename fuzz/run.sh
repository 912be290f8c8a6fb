#!/usr/bin/env bash
# libFuzzer over every decoder, or over those named, on a stable toolchain; needs a C++ compiler.
#
#   fuzz/run.sh [--seconds N] [TARGET ...]     N for each target, 30 by default
#
# Each begins with the fixtures and what earlier runs have left in fuzz/corpus. An input that breaks
# something is left in fuzz/artifacts.
set -euo pipefail

cd "$(dirname "$0")"
seconds=30
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --help) sed -n '2,7s/^# \{0,1\}//p' "$(basename "$0")"; exit 0 ;;
    --*) echo "error: \`$1\`: expected --seconds or --help" >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(basename -s .rs -a fuzz_targets/*.rs)
fi

# Proc macros and build scripts are for this machine and not instrumented: hence a target.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_WRAPPER=$PWD/rustc.sh cargo build --release --target "$host"

# Files to begin with: those that the target reads, and for text the pipelines.
seeds() {
  case $1 in
    manifest) find ../tests/fixtures/manifest ../tests/fixtures/savepoint -type f ;;
    sql) find ../pipelines -name '*.sql' ;;
    table_version | part) find ../tests/fixtures/hot-table -type f ;;
    staged) find ../tests/fixtures/staged -type f ;;
    json) find seeds/json -type f ;;
    *) find ../tests/fixtures/topic ../tests/fixtures/topic-definition -type f ;;
  esac
}

for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  for file in $(seeds "$target"); do
    cp "$file" "corpus/$target/$(sha1sum < "$file" | cut -c1-40)"
  done
  command=("target/$host/release/$target" "-artifact_prefix=artifacts/$target/")
  limits=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=16384)
  echo "== $target"
  if ! "${command[@]}" "${limits[@]}" -print_final_stats=1 "corpus/$target" > "target/$target.log" 2>&1; then
    tail -40 "target/$target.log"
    echo "found: fuzz/artifacts/$target; again: (cd fuzz && ${command[*]} FILE)"
    exit 1
  fi
  grep -aE "stat::(number_of_executed_units|new_units_added|peak_rss_mb)" "target/$target.log" | paste -sd ' '
done
