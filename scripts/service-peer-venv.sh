#!/usr/bin/env bash
# A virtual environment for the inference peer, loadtest/peer (FastAPI and ONNX Runtime); prints its interpreter.
#
#   scripts/service-peer-venv.sh           140 MB down; nothing on a second run
#   scripts/service-peer-venv.sh --have    prints it where it is installed, else fails and installs nothing
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
key=$(sha256sum "$here/service-peer-requirements.txt" | cut -c1-12)
venv=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/service-peer-$key
if [ ! -f "$venv/.complete" ]; then
  [ "${1:-}" != --have ] || { echo "the peer is not installed: scripts/service-peer-venv.sh" >&2; exit 1; }
  python=$(command -v python3.11 || command -v python3)
  "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    { echo "scripts/service-peer-requirements.txt pins wheels of CPython 3.11, which is not installed" >&2; exit 1; }
  echo "installing the inference peer (scripts/service-peer-requirements.txt, 140 MB)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    --only-binary=:all: --requirement "$here/service-peer-requirements.txt" >&2
  touch "$venv/.complete"
fi
echo "$venv/bin/python"
