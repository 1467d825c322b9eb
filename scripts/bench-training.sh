#!/usr/bin/env bash
# Benchmarks training: the trainer against trainer/peer/train.py (PyTorch), in turn, in images/s, with equal architecture,
# precision (bf16), memory format (channels-last), batch size (32) and threads.
#
#   scripts/bench-training.sh [RUN]          writes RUN/bench-training.json; RUN is runs/bench
#   ROUNDS=5 STEPS=20 THREADS=2 DATA=../shared/data/kermany224 WEIGHTS=....safetensors
#
# Each program starts anew in each round and warms up first: the trainer for three steps, the peer for a whole epoch. The peer
# gets training images as its test split.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd); cd "$root"
run=${1:-runs/bench} rounds=${ROUNDS:-5} steps=${STEPS:-20}
shared=${CXR_DATA_DIR:-../shared/data}
data=$(realpath "${DATA:-$shared/kermany224}")
weights=$(realpath "${WEIGHTS:-$shared/weights/mobilenetv2-imagenet.safetensors}")
trainer=${CARGO_TARGET_DIR:-target}/release/cxr-trainer
[ -x "$trainer" ] || { echo "$trainer: not built; make trainer" >&2; exit 1; }
python=$(scripts/venv.sh peer)
libraries=$(scripts/libtorch.sh)/lib
export OMP_NUM_THREADS=${THREADS:-2} OMP_WAIT_POLICY=passive
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT

ln -s "$data/train" "$tmp/train"
for class in NORMAL PNEUMONIA; do
  mkdir -p "$tmp/test/$class"
  find "$data/train/$class" -type f | sort | sed -n 1,8p | xargs -I{} ln -s {} "$tmp/test/$class/"
done
cat > "$tmp/equal.yaml" <<YAML
trainer:
  model: { architecture: mobilenetv2-expanded, weights: $weights }
  training: { batch_size: 32, precision: bf16 }
YAML

ours() {
  LD_LIBRARY_PATH=$libraries "$trainer" bench --run "$tmp/run" --config config/kermany.yaml --config "$tmp/equal.yaml" --data "$data" \
    --rounds 1 --steps "$steps" --memory-images 0 > "$tmp/ours.log"
  "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["throughput"]["full"]["median"])' "$tmp/run/bench.json"
}
peer() {
  env -u LD_LIBRARY_PATH "$python" trainer/peer/train.py "$tmp" --weights "$weights" --bf16 --epochs 2 \
    --limit $((32 * steps)) > "$tmp/peer.log" 2>&1 || { cat "$tmp/peer.log" >&2; return 1; }
  sed -n 's/^epoch 2 train \([0-9.]*\) .*/\1/p' "$tmp/peer.log"
}

: > "$tmp/rounds"
for round in $(seq "$rounds"); do
  if [ $((round % 2)) = 1 ]; then a=$(ours); b=$(peer); else b=$(peer); a=$(ours); fi
  echo "$a $b" >> "$tmp/rounds"
  awk -v r="$round" -v n="$rounds" -v a="$a" -v b="$b" 'BEGIN { printf "round %d/%d: trainer %.1f, peer %.1f images/s, ratio %.3f\n", r, n, a, b, a / b }'
done
mkdir -p "$run"
"$python" - "$tmp/rounds" "$run/bench-training.json" "$OMP_NUM_THREADS" <<'PY'
import json, sys
import numpy as np
rounds = np.loadtxt(sys.argv[1], ndmin=2)
spread = lambda v: dict(median=float(np.median(v)), quartiles=np.quantile(v, (0.25, 0.75)).tolist(), range=[float(v.min()), float(v.max())])
trainer, peer = rounds.T
result = dict(threads=int(sys.argv[3]), rounds=[dict(trainer=a, peer=b) for a, b in rounds.tolist()],
              trainer=spread(trainer), peer=spread(peer), ratio=spread(trainer / peer))
json.dump(result, open(sys.argv[2], "w"), indent=2)
r = result["ratio"]
print(f"trainer {result['trainer']['median']:.1f}, peer {result['peer']['median']:.1f} images/s; trainer / peer {r['median']:.3f} "
      f"(quartiles {r['quartiles'][0]:.3f} to {r['quartiles'][1]:.3f}, range {r['range'][0]:.3f} to {r['range'][1]:.3f})")
PY
