#!/usr/bin/env bash
# Proves that a backup of the log can be restored and verified: dumps the database, restores it into a private Postgres, exports and
# verifies it there. The database is only read (with DUMP, it need not exist any more); nothing is left behind.
#
#   scripts/restore-drill.sh URL PUBLIC_KEY CHECKPOINTS [DUMP]
#
#   URL          the database as a user with the role cxr_backup; not used with DUMP
#   PUBLIC_KEY   the public key of the log, or its file
#   CHECKPOINTS  folder of the anchor
#   DUMP         an existing file of pg_dump --format=custom, instead of a new dump
#
#   example: scripts/restore-drill.sh postgres://cxr_dumper@db/cxr log.pub /mnt/anchor
#
# The configuration of a service is not used: CXR_CONFIG_DIR and CXR_SERVICE__* are ignored.
# Needs cxr-service in PATH or CXR_SERVICE, and Postgres programs of the server's version or newer.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ $# -ge 3 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
url=$1 key=$2 checkpoints=$3 dump=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
service=${CXR_SERVICE:-$(command -v cxr-service || true)}
[ -x "$service" ] || { echo "cxr-service is neither in PATH nor in CXR_SERVICE" >&2; exit 2; }
# They would name the production database, and a folder without development.yaml.
for name in $(compgen -e | grep -iE '^(CXR_SERVICE__.*|CXR_CONFIG_DIR)$' || true); do unset "$name"; done
say() { printf '==> %s\n' "$*" >&2; }

work=$(mktemp -d /tmp/cxr-drill.XXXXXX)
pg=$work-pg
trap '"$here"/private-postgres.sh stop "$pg" || true; rm -rf "$work"' EXIT
if [ -z "$dump" ]; then
  dump=$work/dump
  say "dumping the database"
  pg_dump --format=custom --file="$dump" --dbname="$url"
fi
say "restoring $(du -h "$dump" | cut -f1) into a private Postgres"
admin=$("$here"/private-postgres.sh start "$pg")
psql -X -q "$admin" -c 'create database restored'
restored=${admin/\/postgres?/\/restored?}
# Privileges are not needed here, and name users of the other cluster.
pg_restore --exit-on-error --no-owner --no-privileges --dbname="$restored" "$dump"
say "verifying the restored log"
CXR_PROFILE=development CXR_SERVICE__DATABASE__URL=$restored "$service" audit export --out "$work/log.ndjson"
"$service" audit verify --export "$work/log.ndjson" --public-key "$key" --checkpoints "$checkpoints"
say "the backup can be restored, and its log verifies"
