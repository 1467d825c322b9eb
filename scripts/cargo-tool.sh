#!/usr/bin/env bash
# Installs a pinned version of a cargo tool if it is missing, and prints its path.
#
#   scripts/cargo-tool.sh cargo-deny 0.20.2
#   OPT_LEVEL=2 scripts/cargo-tool.sh oha 1.16.0     optimised: for a load generator
#
# Compiled without optimisation by default, because a tool that runs for seconds is not worth minutes of compiling.
set -euo pipefail
case "${1:-}" in ''|-h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

name=$1 version=$2
dest=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/tools/$name-$version${OPT_LEVEL:+-O$OPT_LEVEL}
if [ ! -x "$dest/bin/$name" ]; then
  echo "installing $name $version" >&2
  mkdir -p "$dest"
  build=$(mktemp -d); trap 'rm -rf "$build"' EXIT
  CARGO_PROFILE_RELEASE_OPT_LEVEL="${OPT_LEVEL:-0}" CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_LTO=off \
    cargo install --quiet --locked --root "$dest" --target-dir "$build" "$name" --version "$version" >&2
fi
echo "$dest/bin/$name"
