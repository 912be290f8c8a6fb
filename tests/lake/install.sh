#!/bin/sh
# Installs the engines that read lake tables into `target/lake-engines`: from PyPI, at fixed versions. Exit
# code 3: PyPI cannot be reached.
set -eu
cd "$(dirname "$0")"
engines=../../target/lake-engines

if [ ! -f $engines/done ] || ! cmp -s requirements.txt $engines/done; then
  mkdir -p ../../target
  python3 -m venv $engines
  if ! $engines/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt; then
    echo "no engines from PyPI" >&2
    exit 3
  fi
  cp requirements.txt $engines/done
fi
