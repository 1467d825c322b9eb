#!/usr/bin/env bash
# A virtual environment with PyTorch 2.11.0 on the processor, for trainer/peer/train.py; prints its interpreter.
#
#   scripts/peer-venv.sh               610 MB down, 2 GB kept; nothing on a second run
#
# PyPI's Linux wheel of PyTorch is a CUDA build. The CUDA libraries it links (2.5 GB) are never called without a GPU: one
# small library stands for all of them, and ends the process if one of its functions is called.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/peer-requirements.txt" "$here/peer-venv.sh" | sha256sum | cut -c1-12)
venv=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/peer-$key
if [ ! -f "$venv/.complete" ]; then
  python=$(command -v python3.11 || command -v python3)
  "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    { echo "scripts/peer-requirements.txt pins wheels of CPython 3.11, which is not installed" >&2; exit 1; }
  echo "installing PyTorch (scripts/peer-requirements.txt, 610 MB)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    --only-binary=:all: --requirement "$here/peer-requirements.txt" >&2
  packages=$(echo "$venv"/lib/python3.11/site-packages)
  source=$(mktemp --suffix=.c); trap 'rm -f "$source"' EXIT
  # Every function of a missing library that PyTorch's own libraries ask for.
  nm -D --undefined-only "$packages"/torch/lib/libtorch_{cuda,nvshmem,python}.so | awk '{ print $2 }' | sed 's/@.*//' |
    grep -E '^(cublas|cudnn|cufft|curand|cusparse|cuFile|nccl|pnccl|nvshmem)' | sort -u |
    awk 'BEGIN { print "#include <stdlib.h>" } { print "void " $1 "(void) { abort(); }" }' > "$source"
  cc -shared -fPIC -w -o "$packages/torch/lib/libno_cuda.so" "$source"
  for library in libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 \
    libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvshmem_host.so.3; do
    ln -s libno_cuda.so "$packages/torch/lib/$library"
  done
  "$venv/bin/python" -c 'import torch, torchvision, safetensors, sklearn; assert not torch.cuda.is_available()' >&2
  touch "$venv/.complete"
fi
echo "$venv/bin/python"
