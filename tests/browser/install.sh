#!/bin/sh
# Installs what the browser test needs: Chromium (by apt, when root and missing) and playwright-core.
set -eu
cd "$(dirname "$0")"

chromium="${CHROMIUM:-/usr/bin/chromium}"
if [ ! -x "$chromium" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q
    apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core
  else
    echo "no Chromium at $chromium: install it, or set CHROMIUM to its path" >&2
  fi
fi

if ! command -v npm >/dev/null; then
  echo "no npm: install Node.js 20 or newer" >&2
  exit 1
fi
npm ci --no-audit --no-fund
