#!/usr/bin/env bash
# Installs missing system packages on Debian 12: a C and C++ compiler, Postgres, PgBouncer, libfaketime, curl, the tools of
# libjpeg-turbo and libtiff, openssl, procps, strace, Python's venv and pip, Prometheus and Alertmanager.
#
#   scripts/setup.sh          prints nothing if nothing is missing
#
# Rust is installed with rustup (rust-toolchain.toml pins the version).
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need cc gcc; need c++ g++; need make make; need curl curl; need djpeg libjpeg-turbo-progs; need tiffcp libtiff-tools; need openssl openssl; need psql postgresql-client; need git git; need pgrep procps; need strace strace
need python3 python3
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || command -v initdb > /dev/null || missing+=(postgresql)
# Only tests need these two. The service and configuration of the Debian packages are not used.
[ -x /usr/sbin/pgbouncer ] || command -v pgbouncer > /dev/null || missing+=(pgbouncer)
[ -n "$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null)" ] || missing+=(libfaketime)
# Tests run these programs themselves, so the daemons of the packages must not run: a unit that is masked is neither started nor enabled.
daemons=()
command -v promtool > /dev/null || { missing+=(prometheus); daemons+=(prometheus); }
command -v amtool > /dev/null || { missing+=(prometheus-alertmanager); daemons+=(prometheus-alertmanager); }
python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv)
python3 -m pip --version > /dev/null 2>&1 || missing+=(python3-pip)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get > /dev/null || { echo "please install: ${missing[*]}" >&2; exit 1; }
  sudo=(); [ "$(id -u)" = 0 ] || sudo=(sudo)
  echo "installing ${missing[*]}" >&2
  "${sudo[@]}" apt-get update -qq >&2
  for daemon in "${daemons[@]}"; do
    "${sudo[@]}" mkdir -p /etc/systemd/system
    "${sudo[@]}" ln -sfn /dev/null "/etc/systemd/system/$daemon.service"
  done
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  # Without systemd the packages start them by their init scripts, unless policy-rc.d forbids it.
  [ -d /run/systemd/system ] || for daemon in "${daemons[@]}"; do
    "${sudo[@]}" "/etc/init.d/$daemon" stop > /dev/null 2>&1 || true
    "${sudo[@]}" update-rc.d "$daemon" disable > /dev/null 2>&1 || true
  done
fi
command -v cargo > /dev/null || { echo "Rust is missing: install it with rustup (https://rustup.rs)" >&2; exit 1; }
