#!/usr/bin/env bash
# A real PostgreSQL server on loopback, without Docker, for tests and trials. Its data is this checkout's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
usage: bash scripts/services.sh start|stop|status|wipe|env postgres

start   starts the server, making its data directory the first time
stop    stops it
status  says whether it runs
wipe    stops it and deletes its data
env     prints the URL by which it is reached

The port is POSTGRES_PORT (55432). Data, log and password are under .local/postgres, or, for root in a directory that
other users may not enter, under /var/tmp, because PostgreSQL refuses to run as root.
END
}

say() { printf 'services: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

readonly port=${POSTGRES_PORT:-55432}
as_server=()
directory=$PWD/.local/postgres

# PostgreSQL refuses to run as root: then the user that its package made runs it, where that user can reach the data.
choose_user_and_directory() {
  mkdir -p "$directory"
  [ "$(id -u)" = 0 ] || return 0
  id postgres >/dev/null 2>&1 || fail "PostgreSQL does not run as root and there is no user 'postgres': run 'bash bootstrap.sh postgres' first."
  as_server=(runuser -u postgres --)
  if ! "${as_server[@]}" test -x "$directory"; then
    directory=/var/tmp/claims-to-payments-postgres-$(printf %s "$PWD" | cksum | cut -d ' ' -f 1)
    mkdir -p "$directory"
  fi
  chown postgres "$directory"
}

find_programs() {
  local candidate
  for candidate in /usr/lib/postgresql/*/bin "$(command -v initdb >/dev/null && dirname "$(command -v initdb)")"; do
    [ -x "$candidate/initdb" ] && programs=$candidate
  done
  [ -n "${programs:-}" ] || fail "there is no PostgreSQL server here: run 'bash bootstrap.sh postgres' first."
}

running() { "${as_server[@]}" "$programs/pg_ctl" -D "$directory/data" status >/dev/null 2>&1; }

start() {
  if running; then
    say "PostgreSQL runs already on port $port"
    return
  fi
  if [ ! -e "$directory/data/PG_VERSION" ]; then
    say "making a PostgreSQL data directory in $directory"
    (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$directory/password")
    [ ${#as_server[@]} = 0 ] || chown postgres "$directory/password"
    "${as_server[@]}" "$programs/initdb" -D "$directory/data" -U postgres -A scram-sha-256 --pwfile="$directory/password" \
      -E UTF8 --no-locale >"$directory/initdb.log" 2>&1 || fail "initdb failed; $directory/initdb.log says why."
  fi
  "${as_server[@]}" "$programs/pg_ctl" -D "$directory/data" -l "$directory/log" -w -t 60 start \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300" >/dev/null ||
    fail "PostgreSQL did not start; $directory/log says why. If port $port is taken, choose another with POSTGRES_PORT."
  say "PostgreSQL runs on port $port"
}

stop() {
  running || { say "PostgreSQL does not run"; return; }
  "${as_server[@]}" "$programs/pg_ctl" -D "$directory/data" -w -t 60 -m fast stop >/dev/null ||
    fail "PostgreSQL did not stop; $directory/log says why."
  say "PostgreSQL stopped"
}

case "${1:-} ${2:-}" in
  'start postgres' | 'stop postgres' | 'status postgres' | 'wipe postgres' | 'env postgres') ;;
  '-h ' | '--help ' | 'help ') usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac
choose_user_and_directory
find_programs
case $1 in
  start) start ;;
  stop) stop ;;
  status) if running; then echo "running on port $port"; else echo "stopped"; fi ;;
  wipe) stop && rm -rf "$directory" && say "PostgreSQL's data is gone" ;;
  env)
    [ -r "$directory/password" ] || fail "PostgreSQL was never started here: run 'bash scripts/services.sh start postgres' first."
    printf 'postgres://postgres:%s@127.0.0.1:%s/postgres\n' "$(cat "$directory/password")" "$port"
    ;;
esac
