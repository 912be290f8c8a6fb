#!/usr/bin/env bash
# Runs the commands that the documents show.
#
#   scripts/check-docs.sh [FILE.md ...]      by default README.md and docs/*.md
#
# A fenced `sh` block whose first line is `# runs in CI` is run. The blocks of one document are one
# script: in order, in an empty folder of their own, with bash -eu and the binary as `millstream` on
# the PATH. What is started in the background is stopped at the end. 127.0.0.1:8080 becomes a free
# port. MILLSTREAM_BIN names the binary (default target/release/millstream).
set -euo pipefail

cd "$(dirname "$0")/.."
seconds_max=180
binary=$(realpath "${MILLSTREAM_BIN:-target/release/millstream}")
if [ ! -x "$binary" ]; then
  echo "error: \`$binary\` is not there: build it with cargo build --release" >&2
  exit 1
fi
[ $# -gt 0 ] || set -- README.md docs/*.md

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$binary" "$work/bin/millstream"

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The blocks of a document that are to be run, as one script.
blocks() {
  awk '
    /^```/ { inside = !inside && $0 == "```sh"; first = inside; chosen = 0; next }
    first { chosen = ($0 == "# runs in CI"); first = 0; if (chosen) printf "\n# line %d\n", NR + 1; next }
    inside && chosen { print }
  ' "$1"
}

passed=0
failed=0
for document in "$@"; do
  name=$(basename "$document" .md)
  folder=$work/$name
  mkdir "$folder"
  {
    echo 'trap '\''set +e; kill $(jobs -p) 2> /dev/null; wait'\'' EXIT'
    blocks "$document" | sed "s/127\.0\.0\.1:8080/127.0.0.1:$(free_port)/g"
  } > "$work/$name.sh"
  if [ "$(wc -l < "$work/$name.sh")" -le 1 ]; then
    continue
  fi
  start=$SECONDS
  if (cd "$folder" && PATH="$work/bin:$PATH" timeout "$seconds_max" bash -eux "$work/$name.sh") \
    < /dev/null > "$work/$name.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok    $document ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "FAIL  $document"
    tail -n 40 "$work/$name.log" | sed 's/^/      /'
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
