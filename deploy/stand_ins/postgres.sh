#!/usr/bin/env bash
# Initializes the data directory once, as PostgreSQL's official image does: sets the password of POSTGRES_PASSWORD, and runs the scripts
# in /docker-entrypoint-initdb.d while the server listens on a socket only.
set -euo pipefail

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  [ -n "${POSTGRES_PASSWORD:-}" ] || { echo "POSTGRES_PASSWORD is not set" >&2 && exit 1; }
  read -ra arguments <<<"${POSTGRES_INITDB_ARGS:-}"
  initdb --username="${POSTGRES_USER:-postgres}" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait --options="-c listen_addresses=''" start
  for script in /docker-entrypoint-initdb.d/*.sh; do
    [ ! -e "$script" ] || bash "$script"
  done
  pg_ctl --wait --mode=fast stop
fi
exec "$@" -c listen_addresses='*'
