#!/usr/bin/env bash
# A virtual environment with Schemathesis, which asks the service what its API description allows; prints the program.
#
#   scripts/schemathesis-venv.sh
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
key=$(sha256sum "$here/schemathesis-requirements.txt" | cut -c1-12)
venv=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/schemathesis-$key
if [ ! -f "$venv/.complete" ]; then
  echo "installing Schemathesis (scripts/schemathesis-requirements.txt)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$here/schemathesis-requirements.txt" >&2
  touch "$venv/.complete"
fi
echo "$venv/bin/schemathesis"
