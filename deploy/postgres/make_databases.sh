#!/usr/bin/env bash
# Creates a database for each service, with its own user, the only one who may connect to it. PostgreSQL's image runs this once, when
# its volume is created.
set -euo pipefail

make_database() {
  local name=$1 password=$2
  if ! [[ $password =~ ^[A-Za-z0-9]{8,}$ ]]; then
    printf 'make_databases.sh: the password for %s must be at least 8 letters and digits; correct the env file, then remove the volume and start again\n' \
      "$name" >&2
    exit 1
  fi
  # Through standard input: every user can see arguments.
  psql -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres --quiet <<END
CREATE ROLE $name LOGIN PASSWORD '$password';
CREATE DATABASE $name OWNER $name;
REVOKE ALL ON DATABASE $name FROM PUBLIC;
END
}

make_database claims "$CLAIMS_DATABASE_PASSWORD"
make_database payments "$PAYMENTS_DATABASE_PASSWORD"
make_database gateway "$GATEWAY_DATABASE_PASSWORD"
