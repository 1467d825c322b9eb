#!/usr/bin/env bash
# Runs the trainer's tests with older instruction sets and other seeds, since no test may depend on either. Takes hours.
#
#   scripts/test-processors.sh            every instruction set below, seeds 42, 1 and 2
#   SEEDS="42 7" TESTS="gpu_check training::" scripts/test-processors.sh
#
# libtorch, oneDNN and MKL are restricted to older instruction sets, so a processor with AVX-512 and AMX covers the most.
# `make test-long` calls this with the environment of `make test-trainer`.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."

# name, then ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL_CBWR; the last row does not restrict the processor.
rows=("sse4.1 default SSE41 COMPATIBLE" "avx2 avx2 AVX2 AVX2" "avx512 avx512 AVX512_CORE AVX512" "own - - -")
failed=()
for row in "${rows[@]}"; do
  read -r name aten onednn mkl <<< "$row"
  settings=()
  [ "$name" = own ] || settings=("ATEN_CPU_CAPABILITY=$aten" "ONEDNN_MAX_CPU_ISA=$onednn" "MKL_CBWR=$mkl")
  for seed in ${SEEDS:-42 1 2}; do
    echo "== $name, seed $seed"
    # shellcheck disable=SC2086  # TESTS holds several names
    env "${settings[@]}" CXR_TEST_SEED="$seed" "${CARGO:-cargo}" test --release --no-fail-fast --package cxr-trainer --test suite -- ${TESTS:-} ||
      failed+=("$name, seed $seed")
  done
done
[ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[@]}" >&2; exit 1; }
