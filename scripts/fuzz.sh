#!/usr/bin/env bash
# Fuzzes the parsers of untrusted input (fuzz/), one target after the other, and prints a line per target.
#
#   scripts/fuzz.sh                                     all targets, a minute each
#   FUZZ_SECONDS=600 scripts/fuzz.sh decode token       two targets, ten minutes each
#   scripts/fuzz.sh decode INPUT                        runs a target on one input, to debug a crash
#
# Starts from the committed seeds (fuzz/corpus) and from the inputs that earlier runs found (target/fuzz/corpus). A crashing input is
# kept in target/fuzz/artifacts, and the exit status is 1. Needs neither cargo-fuzz nor nightly: the stable compiler accepts the flags
# of `cargo fuzz run --sanitizer none`.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1"
for flag in sanitizer-coverage-level=4 sanitizer-coverage-inline-8bit-counters sanitizer-coverage-pc-table \
    sanitizer-coverage-trace-compares sanitizer-coverage-stack-depth simplifycfg-branch-fold-threshold=0; do
  flags+=" -Cllvm-args=-$flag"
done
# With --target, build scripts and macros are compiled without the flags.
RUSTFLAGS="$flags" cargo build --release --locked --manifest-path fuzz/Cargo.toml --target "$triple" --target-dir "$work/build" --bins ${JOBS:+-j "$JOBS"}
bin=$work/build/$triple/release

if [ -f "${2:-}" ]; then exec "$bin/$1" "$2"; fi
targets=("$@"); [ $# -gt 0 ] || targets=(decode jpeg_structure tiff_structure multipart token jwks)
broken=0
for target in "${targets[@]}"; do
  found=$work/corpus/$target artifacts=$work/artifacts/$target log=$work/$target.log
  mkdir -p "$found" "$artifacts"
  "$bin/$target" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=3072 -print_final_stats=1 \
    -artifact_prefix="$artifacts/" "$found" "fuzz/corpus/$target" > "$log" 2>&1 &
  fuzzer=$!
  trap 'kill $fuzzer 2> /dev/null || true' EXIT
  while sleep 5; kill -0 "$fuzzer" 2> /dev/null; do
    printf '%s: %s\n' "$target" "$(grep '^#[0-9]' "$log" | tail -n 1 | tr '\t' ' ')"
  done
  code=0; wait "$fuzzer" || code=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  cover=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  if [ "$code" = 0 ]; then
    echo "$target: no crash in ${runs:-?} runs; ${cover:-?} edges reached, $(find "$found" -type f | wc -l) inputs kept"
  else
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "$target: CRASH after ${runs:-?} runs: ${input:-no input was written}; see $log; reproduce with scripts/fuzz.sh $target ${input:-INPUT}" >&2
    broken=1
  fi
done
exit $broken
