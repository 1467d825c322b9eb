#!/usr/bin/env bash
# Starts and stops a private Postgres on a Unix socket. It does not listen on the network or touch anything outside DIR.
#
#   scripts/private-postgres.sh start DIR           starts one with fsync on; prints the connection URL of database "postgres"
#   scripts/private-postgres.sh start DIR --fast    starts one with fsync off: for tests only
#   scripts/private-postgres.sh stop DIR            stops it and deletes DIR
#   scripts/private-postgres.sh find                prints the folder of the Postgres programs
#
# DIR is created. PG_BIN names the folder of initdb and pg_ctl, if not the distribution's. Postgres refuses to run as root, so
# root runs it as the system user "postgres" or, without that user, "nobody".
set -euo pipefail
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in start|stop|find) ;; -h|--help) usage; exit 0 ;; *) usage >&2; exit 2 ;; esac
action=$1

bin=${PG_BIN:-}
[ -n "$bin" ] || bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)" 2>/dev/null) || true
[ -x "$bin/initdb" ] && [ -x "$bin/pg_ctl" ] ||
  { echo "Postgres is not installed (apt-get install postgresql), and PG_BIN does not name the folder of its programs" >&2; exit 1; }
[ "$action" != find ] || { echo "$bin"; exit 0; }

dir=${2:?"give a directory"} mode=${3:-}
as=() owner=
if [ "$(id -u)" = 0 ]; then
  owner=nobody; ! id postgres > /dev/null 2>&1 || owner=postgres
  as=(setpriv --reuid="$(id -u "$owner")" --regid="$(id -g "$owner")" --clear-groups --)
fi

# initdb requires a name for its user, which the user of a container often lacks: it runs as "nobody" then.
named_user() {
  local wrapper
  wrapper=$(ls /usr/lib/*/libnss_wrapper.so /usr/lib64/libnss_wrapper.so 2> /dev/null | head -n 1 || true)
  if [ -n "$wrapper" ]; then
    echo "nobody:x:$(id -u):$(id -g)::$dir:/bin/false" > "$dir/passwd"
    echo "nogroup:x:$(id -g):" > "$dir/group"
    named=(env "LD_PRELOAD=$wrapper" "NSS_WRAPPER_PASSWD=$dir/passwd" "NSS_WRAPPER_GROUP=$dir/group")
  elif unshare --map-user="$(id -u nobody)" true 2> /dev/null; then
    named=(unshare --map-user="$(id -u nobody)" --)
  else
    echo "the user $(id -u) has no name, which initdb needs: add it to /etc/passwd, or install libnss-wrapper" >&2; exit 1
  fi
}

case $action in
start)
  # The path of a Unix socket is limited to 107 bytes.
  [ ${#dir} -le 80 ] || { echo "$dir is too long a path for a socket; use a directory under /tmp" >&2; exit 1; }
  mkdir -p "$dir"; chmod 700 "$dir"
  [ -z "$owner" ] || chown "$owner" "$dir"
  cd "$dir"
  named=()
  if [ -z "$owner" ] && ! getent passwd "$(id -u)" > /dev/null; then named_user; fi
  "${named[@]}" "${as[@]}" "$bin/initdb" -D "$dir/data" -U cxr -A trust -E UTF8 --locale=C.UTF-8 --no-sync > "$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; exit 1; }
  options="-c listen_addresses='' -k $dir -c max_connections=300 -c shared_buffers=64MB -c log_min_messages=warning"
  [ "$mode" != --fast ] || options="$options -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
  "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -t 30 -l "$dir/data/log" -o "$options" start > /dev/null ||
    { cat "$dir/data/log" >&2; exit 1; }
  echo "postgres://cxr@localhost/postgres?host=$dir" ;;
stop)
  [ ! -f "$dir/data/PG_VERSION" ] || (cd "$dir" && "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop > /dev/null 2>&1) || true
  rm -rf "$dir" ;;
esac
