#!/usr/bin/env bash
# A virtual environment with a real MLflow, which the tests of tracking start as a server and read back with; prints its
# interpreter. It has about 1 GB.
#
#   scripts/mlflow-venv.sh
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
key=$(sha256sum "$here/mlflow-requirements.txt" | cut -c1-12)
venv=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/mlflow-$key
if [ ! -f "$venv/.complete" ]; then
  echo "installing MLflow (scripts/mlflow-requirements.txt)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    --requirement "$here/mlflow-requirements.txt" >&2
  touch "$venv/.complete"
fi
echo "$venv/bin/python"
