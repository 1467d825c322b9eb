#!/usr/bin/env bash
# Assembles libtorch for the trainer from hash-pinned PyPI wheels and prints its directory (for LIBTORCH).
#
#   scripts/libtorch.sh               544 MB to download, 498 MB installed; a second run only prints it
#   LIBTORCH=... scripts/libtorch.sh  prints LIBTORCH and downloads nothing
#
# PyPI's Linux wheels are CUDA builds. Only the CPU libraries are extracted; on a GPU host the trainer loads
# libtorch_cuda.so at run time from a full installation on LD_LIBRARY_PATH (docs/TRAINING.md).
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

version=2.11.0
if [ -n "${LIBTORCH:-}" ]; then echo "$LIBTORCH"; exit 0; fi
dest=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/libtorch-$version
if [ ! -f "$dest/.complete" ]; then
  echo "fetching libtorch $version (544 MB)" >&2
  tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
  cat > "$tmp/requirements.txt" <<'REQ'
torch==2.11.0 --hash=sha256:0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
REQ
  python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --dest "$tmp" --requirement "$tmp/requirements.txt" >&2
  rm -rf "$dest"; mkdir -p "$dest/lib"
  python3 - "$tmp" "$dest" <<'PY'
import glob, os, shutil, sys, zipfile
wheels, dest = sys.argv[1:]
libraries = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
for wheel in glob.glob(wheels + "/*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = os.path.basename(member)
            if member.startswith("torch/include/") and not member.endswith("/"):
                target = os.path.join(dest, member[len("torch/"):])
            elif name in libraries and "/lib/" in member:
                target = os.path.join(dest, "lib", name)
            else:
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
PY
  # torch-sys always links -ltorch; the wheel's libtorch.so would pull in libtorch_cuda.so.
  printf 'INPUT(AS_NEEDED(libtorch_cpu.so))\n' > "$dest/lib/libtorch.so"
  echo "$version" > "$dest/build-version"
  touch "$dest/.complete"
fi
echo "$dest"
