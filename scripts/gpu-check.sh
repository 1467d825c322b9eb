#!/usr/bin/env bash
# Acceptance check of a GPU host: trains, exports, serves and measures there. Needs no network, make or cargo.
#
#   BIN=bin LIBS=lib DATA=kermany224 scripts/gpu-check.sh [options of `cxr-loadtest gpu-check`, see --help]
#
#   BIN     folders of cxr-trainer, cxr-service, cxr-loadtest (separated by colons)
#   LIBS    folders of libonnxruntime.so with its CUDA providers, and of libtorch 2.11.0; if none has libtorch, that of
#           python3's torch is used, with the CUDA libraries beside it
#   DATA    radiographs: train/NORMAL, train/PNEUMONIA
#   DEVICE  cuda (default) or cpu; DEVICE=cpu tests the check itself on a host without a GPU
#   OUT     output folder for gpu-check.md, gpu-check.json and gpu-check.log (default: gpu-check)
#   PG_BIN  folder of Postgres' initdb and pg_ctl, if not the distribution's; without Postgres, the load through HTTP is not
#           run, and the report says so
#
# Further settings: EPOCHS=3 IMAGES=0 (per class; 0: all) SECONDS_EACH=2 BUDGET=570 (seconds in total). The defaults on a CPU
# are one epoch and 150 images per class.
# docs/GPU.md describes what it proves.
#
#   example: BIN=/opt/cxr/bin LIBS=/opt/cxr/lib DATA=/data/kermany224 OUT=/tmp/report scripts/gpu-check.sh --architecture densenet121
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

absolute() { realpath -m -- "$1"; }
# Makes every folder of a list absolute, because the check runs in the root of the repository.
absolute_all() { local IFS=: folder list=; for folder in $1; do list=$list:$(absolute "$folder"); done; echo "${list#:}"; }
missing=()
for name in BIN LIBS DATA; do [ -n "${!name:-}" ] || missing+=("$name"); done
[ ${#missing[@]} = 0 ] || { echo "not set: ${missing[*]} (scripts/gpu-check.sh --help)" >&2; exit 2; }
bin=$(absolute_all "$BIN") libs=$(absolute_all "$LIBS") data=$(absolute "$DATA") out=$(absolute "${OUT:-gpu-check}")
[ -z "${PG_BIN:-}" ] || { PG_BIN=$(absolute "$PG_BIN"); export PG_BIN; }
cd "$(dirname "$0")/.."

loadtest=
IFS=: read -ra folders <<< "$bin"
for folder in "${folders[@]}"; do [ ! -x "$folder/cxr-loadtest" ] || loadtest=$folder/cxr-loadtest; done
[ -n "$loadtest" ] || { echo "cxr-loadtest is not in BIN=$bin" >&2; exit 2; }
work=$(mktemp -d /tmp/cxr-gpu-check.XXXXXX)
# Beside and not inside: the system user that runs Postgres cannot enter $work.
pg=$work-pg
trap 'scripts/private-postgres.sh stop "$pg" > /dev/null 2>&1 || true; rm -rf "$work"' EXIT
"$loadtest" gpu-check --root "$PWD" --device "${DEVICE:-cuda}" --bin "$bin" --libs "$libs" --data "$data" --out "$out" \
  --work "$work" --postgres "$pg" ${EPOCHS:+--epochs "$EPOCHS"} ${IMAGES:+--images "$IMAGES"} --seconds "${SECONDS_EACH:-2}" \
  --budget-seconds "${BUDGET:-570}" "$@"
