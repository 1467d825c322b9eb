#!/usr/bin/env bash
# Installs a JavaScript program (tests/oidc, tests/fhir, tests/grafana, loadtest/watch) with its hash-pinned npm packages, and prints its folder.
# Needs Node.js 20.
#
#   scripts/npm-install.sh oidc|fhir|grafana|watch
set -euo pipefail
case "${1:-}" in oidc|fhir|grafana) parent=tests ;; watch) parent=loadtest ;; *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
source=$(cd "$(dirname "$0")/../$parent/$1" && pwd)
version=$(node --version 2> /dev/null || true)
[[ $version =~ ^v([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 20 ] || { echo "no Node.js 20 (found: ${version:-none})" >&2; exit 3; }
key=$(sha256sum "$source/package-lock.json" | cut -c1-12)
folder=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/$1-$key
if [ ! -f "$folder/.complete" ]; then
  echo "installing $parent/$1" >&2
  rm -rf "$folder"; mkdir -p "$folder"
  cp "$source/package.json" "$source/package-lock.json" "$folder"
  (cd "$folder" && npm ci --no-audit --no-fund --silent >&2)
  touch "$folder/.complete"
fi
find "$source" -name '*.mjs' -exec cp {} "$folder" \;
echo "$folder"
