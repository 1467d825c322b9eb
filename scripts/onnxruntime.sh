#!/usr/bin/env bash
# Installs libonnxruntime.so from the hash-pinned PyPI wheel and prints its path.
#
#   scripts/onnxruntime.sh            the CPU library, in the cache
#   scripts/onnxruntime.sh DEST       in the folder DEST, readable for all users, such as the one that runs the service
#   ORT_DYLIB_PATH=... scripts/onnxruntime.sh    prints ORT_DYLIB_PATH and downloads nothing
#
#   example: sudo scripts/onnxruntime.sh /opt/cxr/lib
#
# The cache is ${CXR_CACHE:-~/.cache/cxr}; a file there is used only if it has the pinned SHA-256.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

version=1.31.1
wheel_sha256=1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536
library_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3

case "${1:-}" in -*) echo "scripts/onnxruntime.sh: no option $1; see --help" >&2; exit 2 ;; esac
install=${1:-}
if [ -z "$install" ] && [ -n "${ORT_DYLIB_PATH:-}" ]; then echo "$ORT_DYLIB_PATH"; exit 0; fi
is_pinned() { echo "$library_sha256  $1" | sha256sum --check --status 2> /dev/null; }
if [ -n "$install" ] && is_pinned "$install/libonnxruntime.so.$version"; then echo "$(realpath "$install")/libonnxruntime.so.$version"; exit 0; fi
dest=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/onnxruntime-$version
library=$dest/lib/libonnxruntime.so.$version
if ! is_pinned "$library"; then
  echo "fetching ONNX Runtime $version (23 MB)" >&2
  tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
  echo "onnxruntime==$version --hash=sha256:$wheel_sha256" > "$tmp/requirements.txt"
  # The Python version of the wheel does not matter: only its C++ library is used.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 \
    --dest "$tmp" --requirement "$tmp/requirements.txt" >&2
  mkdir -p "$dest/lib"
  python3 - "$tmp" "$dest/lib" <<'PY'
import glob, os, sys, zipfile
(wheel,) = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as archive:
    for member in archive.namelist():
        name = os.path.basename(member)
        if name.startswith("libonnxruntime"):
            path = os.path.join(sys.argv[2], name)
            with open(path + ".part", "wb") as out:
                out.write(archive.read(member))
            os.replace(path + ".part", path)
PY
  is_pinned "$library" || {
    echo "$library does not have the pinned SHA-256; delete $dest and try again" >&2; exit 1; }
fi
if [ -n "$install" ]; then
  (umask 022; mkdir -p "$install")
  # ONNX Runtime searches the library of its providers beside itself.
  for file in "$dest"/lib/libonnxruntime*; do
    name=$(basename "$file")
    install -m 644 "$file" "$install/$name.part" && mv "$install/$name.part" "$install/$name"
  done
  library=$(realpath "$install")/libonnxruntime.so.$version
fi
echo "$library"
