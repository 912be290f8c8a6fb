#!/bin/sh
# Installs the engines that read lake tables into `.venv`: from PyPI, at fixed versions. Exit code 3: PyPI
# cannot be reached.
set -eu
cd "$(dirname "$0")"

if [ ! -f .venv/done ] || ! cmp -s requirements.txt .venv/done; then
  python3 -m venv .venv
  if ! .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt; then
    echo "no engines from PyPI" >&2
    exit 3
  fi
  cp requirements.txt .venv/done
fi
