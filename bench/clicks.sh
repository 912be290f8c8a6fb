#!/usr/bin/env bash
# The folder of made-up clicks that benchmarks read: made once; its name says what is in it, and is printed.
#
#   bench/clicks.sh BINARY DIR EVENTS USERS
set -euo pipefail

binary=$1 events=$3 users=$4
input=$2/clicks-$events-$users
if [ ! -d "$input" ]; then
  mkdir -p "$input.part"
  for seed in 1 2; do
    "$binary" generate clicks --count $((events / 2)) --seed $seed --late-fraction 0.001 \
      --users "$users" --to "$input.part/part-$seed.jsonl" >&2
  done
  mv "$input.part" "$input"
fi
echo "$input"
