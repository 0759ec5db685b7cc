#!/usr/bin/env bash
# fuzz/run.sh SECONDS [TARGET ...]: builds the fuzz targets and runs each (or those named) for so many seconds, from the
# seeds and what earlier runs found. 0 seconds: the seeds only. Plain stable Rust: coverage comes from the
# compiler's own pass, and no sanitizer is needed where `unsafe` is forbidden. What fails is left in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?seconds for each target}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(payload fold answer config query_string control http_wire)

export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, the flags are for what is fuzzed, not for build scripts and macros.
cargo build --release --locked --quiet --target "$host" "${targets[@]/#/--bin=}"
binaries=${CARGO_TARGET_DIR:-target}/$host/release

for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" artifacts
  printf '%s: ' "$target"
  log=artifacts/$target.log
  case $target in
    payload | answer) seeds=../tests/fixtures/payloads ;;
    *) seeds=seeds/$target ;;
  esac
  how=(-max_total_time="$seconds")
  [ "$seconds" -gt 0 ] || how=(-runs=0)
  "$binaries/$target" "${how[@]}" -print_final_stats=1 -timeout=20 -rss_limit_mb=1024 -max_len=4096 -dict=words.dict \
    -artifact_prefix="artifacts/$target-" "corpus/$target" "$seeds" >"$log" 2>&1 || {
    tail -n 40 "$log"
    exit 1
  }
  sed -n 's/^stat::number_of_executed_units: */executions /p; s/^stat::average_exec_per_sec: */a second /p' "$log" | paste -sd, -
done
