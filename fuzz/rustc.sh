#!/usr/bin/env bash
# A RUSTC_WRAPPER: code of ours is compiled with what libFuzzer looks at, libraries as they are.
rustc=$1
shift
case " $* " in
  *" --crate-name millstream"* | *" fuzz_targets/"*)
    exec "$rustc" "$@" --cfg fuzzing -Cpasses=sancov-module \
      -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
      -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$rustc" "$@"
