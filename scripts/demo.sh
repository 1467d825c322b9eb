#!/usr/bin/env bash
# Demo: starts a private Postgres and the service with models/default, sends radiographs, and shows each answer and its audit row.
#
#   scripts/demo.sh                       sends the two radiographs of models/examples: one normal, one with pneumonia
#   IMAGE=chest.jpeg scripts/demo.sh      sends your image (JPEG, PNG or TIFF)
#   ONCE=1 scripts/demo.sh                stops after the answers; each is one JSON line on standard output
#   PORT=8080                             the port on 127.0.0.1 (default: a free one)
#
# The database is deleted at the end; heatmaps stay in target/demo.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
own=${IMAGE:+$(realpath -m -- "$IMAGE")}
cd "$(dirname "$0")/.."
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

images=("$PWD"/models/examples/*.jpeg)
[ -z "$own" ] || images=("$own")
[ -f "${images[0]}" ] || fail "${IMAGE:+IMAGE=}${images[0]} is not a file"
work=$(mktemp -d /tmp/cxr-demo.XXXXXX)
# Beside and not inside: the system user that runs Postgres cannot enter $work.
pg=$work-pg
service_pid=
finish() {
  status=$?
  # A second Ctrl-C must not interrupt the clean-up.
  trap '' INT TERM; trap - EXIT
  [ -z "$service_pid" ] || { kill "$service_pid" 2> /dev/null || true; wait "$service_pid" 2> /dev/null || true; }
  scripts/private-postgres.sh stop "$pg"
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

say "ONNX Runtime"
ORT_DYLIB_PATH=$(scripts/onnxruntime.sh)
target=${CARGO_TARGET_DIR:-target}
say "building the service (minutes the first time, a second afterwards)"
if [ -x "$target/release/cxr-service" ]; then
  # As `make test` builds it, so that it is up to date in a second: with --package, features and therefore crates differ.
  profile=release; cargo build --release --bins --quiet
else
  # The profile demo compiles in half the time.
  profile=demo; cargo build --profile demo --package cxr-service --quiet
fi
cxr=$target/$profile/cxr-service

say "private Postgres in $pg"
admin=$(scripts/private-postgres.sh start "$pg")
psql -X -q "$admin" -c 'create database cxr'
url=${admin/\/postgres?/\/cxr?}
port=${PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
export ORT_DYLIB_PATH CXR_PROFILE=development CXR_SERVICE__DATABASE__URL=$url CXR_SERVICE__HTTP__BIND=127.0.0.1:$port
"$cxr" migrate > "$work/migrate.log" 2>&1 || { cat "$work/migrate.log" >&2; fail "the migration failed"; }

say "the service with models/default on http://127.0.0.1:$port"
"$cxr" serve > "$work/service.log" 2>&1 &
service_pid=$!
base=http://127.0.0.1:$port
for _ in $(seq 100); do
  curl -fs "$base/readyz" > /dev/null 2>&1 && break
  kill -0 "$service_pid" 2> /dev/null || { cat "$work/service.log" >&2; fail "the service ended"; }
  sleep 0.1
done
curl -fs "$base/readyz" > /dev/null || { cat "$work/service.log" >&2; curl -s "$base/readyz" >&2; fail "the service is not ready"; }

token=$("$cxr" dev-token --subject demo --scope "predict audit:read")
# The token is passed in a file, because every user of the host can see arguments.
printf 'header = "Authorization: Bearer %s"\n' "$token" > "$work/curl.conf"

# Prints an answer in words, writes its heatmap and legend to files with the prefix $1, and prints the rest as one line of JSON.
# Writes the id of the row to $work/id.
show() {
  python3 - "$work" "$1" <<'PY'
import base64, json, pathlib, sys
work, begin = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
answer = json.loads((work / "answer.json").read_bytes())
(work / "id").write_text(answer.get("id") or "")
PNG = "data:image/png;base64,"
pictures = {key: value for key, value in answer.items() if str(value).startswith(PNG)}
if "detail" in answer:
    print(f"{answer['title']}: {answer['detail']}", file=sys.stderr)
if "decision" in answer:
    probability = answer["probability"]
    probability = "not stated" if probability is None else f"{probability:.3f}"
    review = "a radiologist must look at it" if answer["review_required"] else "no review needed"
    print(f"decision {answer['decision']}: probability of pneumonia {probability} (threshold {answer['threshold']:.3f}), "
          f"reason {answer['reason']}, {review}", file=sys.stderr)
for key, picture in pictures.items():
    answer[key] = "a PNG, left out here"
    if answer["decision"] != "negative":
        file = begin.with_name(f"{begin.name}-{key}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(picture[len(PNG):]))
        print(f"{key}: {file.resolve()}", file=sys.stderr)
print(json.dumps(answer, ensure_ascii=False))
PY
}

failed= id=
for image in "${images[@]}"; do
  say "POST /v1/predictions?explain=true with $(basename "$image")"
  status=$(curl -sS --config "$work/curl.conf" -o "$work/answer.json" -w '%{http_code}' --data-binary "@$image" \
    -H 'Content-Type: application/octet-stream' "$base/v1/predictions?explain=true")
  [ "$status" = 200 ] || failed="the service answered $status to $(basename "$image"), see above"
  name=$(basename "$image")
  show "$target/demo/${name%.*}"
  id=$(cat "$work/id")
  [ -z "$id" ] || psql -X -P pager=off -x "$url" -c "select id, recorded_at, actor, site, outcome, reason, width, height,
    model_version, left(bundle_digest, 16) as bundle, round(probability::numeric, 4) as probability, threshold, decision, review_required,
    round(ood_score::numeric, 2) as ood_score from predictions where id = '$id'" | sed '1s/.*/its row in the audit log:/' >&2
done
if [ -n "${ONCE:-}" ]; then
  [ -z "$failed" ] || fail "$failed"
  exit 0
fi
# The public key of the development profile; a production site creates its own.
log_key='development.cxr.invalid/log+a49e0ad1+AYCkUga2cKxdYXVXwGKW+TRQ+ZR5p6J0Ic4z4Sf0f1Fa'
cat >&2 <<NEXT
Now yours, until Ctrl-C:
  API        $base/docs        (Authorize with the token below)
  metrics    $base/metrics     health $base/readyz
  token      export TOKEN=$token
  again      curl -H "Authorization: Bearer \$TOKEN" -H "Content-Type: image/jpeg" --data-binary @your.jpeg "$base/v1/predictions?explain=true"
  the row    curl -H "Authorization: Bearer \$TOKEN" $base/v1/predictions/${id:-ID}
  a retry    add -H "Idempotency-Key: any-name" twice: the second answer is the first one, and there is one row
  its proof  curl -H "Authorization: Bearer \$TOKEN" $base/v1/audit/proofs/${id:-ID}
  verify     export CXR_PROFILE=development CXR_SERVICE__DATABASE__URL='$url'
             $cxr audit export --out $work/log.ndjson && $cxr audit verify --export $work/log.ndjson --public-key '$log_key'
  the log    psql "$url" -c 'select * from predictions'
  service's  $work/service.log
NEXT
wait "$service_pid"
