#!/usr/bin/env bash
# Installs a Python virtual environment from scripts/NAME-requirements.txt and prints its interpreter. A second run only prints it.
#
#   scripts/venv.sh NAME           installs it if it is missing
#   scripts/venv.sh NAME --have    installs nothing; fails if it is missing
#
#   reference      the libraries that tests compare against (OpenCV, ONNX)
#   grafana        Grafana's types, for deploy/grafana/generate.py
#   schemathesis   Schemathesis, for tests/api/schemathesis.rs; prints the program schemathesis
#   mlflow         an MLflow server, for the tests of tracking (1 GB)
#   service-peer   FastAPI and ONNX Runtime, for loadtest/peer (140 MB to download; CPython 3.11)
#   monitoring-peer   NannyML, for `cxr-loadtest monitoring performance` (CPython 3.11)
#   peer           PyTorch 2.11.0 without CUDA, for trainer/peer/train.py (610 MB to download, 2 GB installed; CPython 3.11)
#
# They lie in ${CXR_CACHE:-~/.cache/cxr}/NAME-HASH.
set -euo pipefail
usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }
name=${1:-}
case $name in
  reference|grafana|mlflow|service-peer|monitoring-peer|peer) program=python ;;
  schemathesis) program=schemathesis ;;
  -h|--help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

# PyPI's Linux wheel of PyTorch is a CUDA build, which links 2.5 GB of CUDA libraries. Without a GPU it calls none of them: this
# replaces all of them by one small library, whose functions abort.
finish_peer() {
  local packages source library
  packages=$(echo "$venv"/lib/python3.11/site-packages)
  source=$(mktemp --suffix=.c)
  # Every function of a missing library that PyTorch's own libraries import.
  nm -D --undefined-only "$packages"/torch/lib/libtorch_{cuda,nvshmem,python}.so | awk '{ print $2 }' | sed 's/@.*//' |
    grep -E '^(cublas|cudnn|cufft|curand|cusparse|cuFile|nccl|pnccl|nvshmem)' | sort -u |
    awk 'BEGIN { print "#include <stdlib.h>" } { print "void " $1 "(void) { abort(); }" }' > "$source"
  cc -shared -fPIC -w -o "$packages/torch/lib/libno_cuda.so" "$source"
  rm "$source"
  for library in libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 \
    libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvshmem_host.so.3; do
    ln -s libno_cuda.so "$packages/torch/lib/$library"
  done
  "$venv/bin/python" -c 'import torch, torchvision, safetensors, sklearn; assert not torch.cuda.is_available()' >&2
}

requirements=$(cd "$(dirname "$0")" && pwd)/$name-requirements.txt
# The hash changes with everything that decides what is installed.
key=$({ cat "$requirements"; declare -f "finish_$name" || true; } | sha256sum | cut -c1-12)
venv=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/$name-$key
if [ ! -f "$venv/.complete" ]; then
  [ "${2:-}" != --have ] || { echo "not installed: scripts/venv.sh $name" >&2; exit 1; }
  python=python3 options=()
  case $name in *peer)
    python=$(command -v python3.11 || command -v python3)
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
      { echo "$requirements needs CPython 3.11, which is not installed" >&2; exit 1; }
    options=(--no-cache-dir --no-deps --only-binary=:all:) ;;
  esac
  echo "installing $requirements" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes "${options[@]}" --requirement "$requirements" >&2
  if declare -F "finish_$name" > /dev/null; then "finish_$name"; fi
  touch "$venv/.complete"
fi
echo "$venv/bin/$program"
