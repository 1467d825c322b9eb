#!/usr/bin/env bash
# Packs everything that `scripts/gpu-check.sh` needs on a GPU host without network, make or cargo.
#
#   scripts/gpu-pack.sh DEST        programs.tar.xz, onnxruntime.tar.xz, postgres.tar.xz and unpack.sh in DEST
#
#   ARCH=90            compute capability whose kernels stay in ONNX Runtime's CUDA provider (90: H100, H200; all: every one)
#   LEVEL=6            compression level of xz, 0 to 9 (0: fast)
#   DATA=DIR IMAGES=n  also data.tar: the first n images of each class of DIR/train, and the pretrained weights beside DIR
#
# The programs must be built: make trainer; cargo build --release --bins. ONNX Runtime and Postgres come from hash-pinned
# PyPI wheels (255 MB and 11 MB, cached). On the host: ./unpack.sh FOLDER, then scripts/gpu-check.sh of a checkout with
# BIN=FOLDER/bin LIBS=FOLDER/lib PG_BIN=FOLDER/postgres/pginstall/bin; libtorch with CUDA is python3's torch 2.11.0.
set -euo pipefail
case "${1:-}" in ''|-h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
dest=$(realpath -m -- "$1") arch=${ARCH:-90}
data=${DATA:+$(realpath -- "$DATA")}
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cache=${CXR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cxr}/gpu-wheels
programs=("$target/release/cxr-trainer" "$target/release/cxr-service" "$target/release/cxr-loadtest")
for program in "${programs[@]}"; do [ -x "$program" ] || { echo "$program: not built" >&2; exit 1; }; done
say() { printf '%s\n' "$*" >&2; }
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
mkdir -p "$dest" "$cache"

# Downloads one wheel by its hash into the cache and prints its path.
wheel() {
  local name=$1 version=$2 sha256=$3 file
  file=$(ls "$cache/${name//-/_}-$version"-*.whl 2> /dev/null || true)
  if ! echo "$sha256  $file" | sha256sum --check --status 2> /dev/null; then
    say "fetching $name $version"
    rm -f "$cache/${name//-/_}-$version"-*.whl
    echo "$name==$version --hash=sha256:$sha256" > "$tmp/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
      --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
      --platform manylinux2014_x86_64 --dest "$cache" --requirement "$tmp/requirements.txt" >&2
    file=$(ls "$cache/${name//-/_}-$version"-*.whl)
  fi
  echo "$file"
}
# Extracts the matching members of a wheel into a folder.
extract() {
  python3 - "$@" <<'PY'
import fnmatch, os, sys, zipfile
wheel, folder, *patterns = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in archive.infolist():
        if any(fnmatch.fnmatch(member.filename, pattern) for pattern in patterns):
            path = archive.extract(member, folder)
            if not member.is_dir():
                os.chmod(path, (member.external_attr >> 16) & 0o777 | 0o644)
PY
}
# xz, which Python can unpack on a host without xz; in blocks, which several cores can unpack.
pack() { tar --create --owner=0 --group=0 --sort=name -C "$1" "${@:3}" | xz -"${LEVEL:-6}" --threads=0 --block-size=16MiB > "$2"; }

say "programs"
mkdir -p "$tmp/programs/bin"
for program in "${programs[@]}"; do strip -o "$tmp/programs/bin/$(basename "$program")" "$program"; done
pack "$tmp/programs" "$dest/programs.tar.xz" bin

say "ONNX Runtime, kernels of $arch"
extract "$(wheel onnxruntime-gpu 1.31.1 05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7)" "$tmp/wheel" \
  'onnxruntime/capi/libonnxruntime.so.*' 'onnxruntime/capi/libonnxruntime_providers_cuda.so' \
  'onnxruntime/capi/libonnxruntime_providers_shared.so'
mkdir -p "$tmp/onnxruntime/lib"
mv "$tmp"/wheel/onnxruntime/capi/* "$tmp/onnxruntime/lib/"
ln -s libonnxruntime.so.1.31.1 "$tmp/onnxruntime/lib/libonnxruntime.so"
if [ "$arch" != all ]; then
  provider=$tmp/onnxruntime/lib/libonnxruntime_providers_cuda.so
  python3 scripts/fatbin_prune.py "$provider" "$arch" "$provider.pruned" && mv "$provider.pruned" "$provider"
fi
pack "$tmp/onnxruntime" "$dest/onnxruntime.tar.xz" lib

# A relocatable Postgres with its own time zones, which needs only the C library and zlib.
say "Postgres"
extract "$(wheel pgserver 0.1.4 1a5d07c61d51f2abfef4ef61e2ef5cd014b994f7e09de8d3c140d2cf370e84a8)" "$tmp/wheel" \
  'pgserver/pginstall/bin/postgres' 'pgserver/pginstall/bin/initdb' 'pgserver/pginstall/bin/pg_ctl' \
  'pgserver/pginstall/lib/postgresql/*.so' 'pgserver/pginstall/share/*' 'pgserver.libs/libpq-*'
# initdb searches its library three folders up.
mkdir -p "$tmp/postgres"; mv "$tmp/wheel/pgserver" "$tmp/postgres/postgres"; mv "$tmp/wheel/pgserver.libs" "$tmp/postgres/"
pack "$tmp/postgres" "$dest/postgres.tar.xz" postgres pgserver.libs

if [ -n "$data" ]; then
  say "data"
  mkdir -p "$tmp/data/weights"
  for class in NORMAL PNEUMONIA; do
    mkdir -p "$tmp/data/images/train/$class"
    find "$data/train/$class" -type f | sort | sed -n "1,${IMAGES:-1000}p" | xargs -d '\n' cp -t "$tmp/data/images/train/$class"
  done
  weights=$data/../weights/mobilenetv2-imagenet.safetensors
  [ ! -f "$weights" ] || cp "$weights" "$tmp/data/weights/"
  tar --create --owner=0 --group=0 --sort=name -C "$tmp/data" images weights > "$dest/data.tar"
fi
cat > "$dest/unpack.sh" <<'UNPACK'
#!/usr/bin/env bash
# Unpacks the archives beside this script: ./unpack.sh FOLDER
set -euo pipefail
folder=${1:?"give a folder"}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
for archive in "$here"/*.tar*; do
  if command -v xz > /dev/null || [ "${archive%.xz}" = "$archive" ]; then
    XZ_DEFAULTS=--threads=0 tar --extract --no-same-owner -C "$folder" --file "$archive"
  else
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$archive" "$folder"
  fi
done
# The system user that runs Postgres must be able to read it.
chmod -R a+rX "$folder"
UNPACK
chmod +x "$dest/unpack.sh"
(cd "$dest" && ls -l -- *.tar* unpack.sh) >&2
