#!/usr/bin/env bash
# A real PostgreSQL and a real Kafka on loopback, without Docker, for tests and trials. Their data is this checkout's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
usage: bash scripts/services.sh start|stop|status|wipe|env postgres|kafka
       bash scripts/services.sh env postgres DATABASE
       bash scripts/services.sh stop postgres|kafka at-once
       bash scripts/services.sh env kafka sasl_plaintext|sasl_ssl

start   starts the server, making its data directory the first time
stop    stops it; at-once: without giving it time to put anything in order, as a crash would
status  says whether it runs
wipe    stops it and deletes its data
env     prints how it is reached: a postgres:// URL, or a host and port; with a DATABASE, its URL, and makes it if missing;
        with sasl_plaintext or sasl_ssl, the services' settings for the listener that wants a user, without or with TLS

The ports are POSTGRES_PORT (15432) and KAFKA_PORT (19092; the next three are its controller's and those of the listeners that
want a user). Data and logs are in postgres and kafka under SERVICES_DIRECTORY (.local). PostgreSQL refuses to run as root: for root, in a directory that other users may not
enter, its data is under /var/tmp.
END
}

say() { printf 'services: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

random_password() { head -c 24 /dev/urandom | base64 | tr -d '/+=\n'; }

services=$(realpath -m "${SERVICES_DIRECTORY:-.local}")

# --- PostgreSQL ---------------------------------------------------------------------------------------------------

# Sets who runs the server, where its data is, and where its programs are.
prepare_postgres() {
  port=${POSTGRES_PORT:-15432}
  as_server=()
  directory=$services/postgres
  mkdir -p "$directory"
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 ||
      fail "PostgreSQL does not run as root and there is no user 'postgres': run 'bash bootstrap.sh postgres' first."
    as_server=(runuser -u postgres --)
    if ! "${as_server[@]}" test -x "$directory"; then
      directory=/var/tmp/claims-to-payments-postgres-$(printf %s "$services" | cksum | cut -d ' ' -f 1)
      mkdir -p "$directory"
    fi
    chown postgres "$directory"
  fi
  local candidate programs=
  for candidate in /usr/lib/postgresql/*/bin "$(dirname "$(command -v initdb || echo /nowhere/initdb)")"; do
    [ -x "$candidate/initdb" ] && programs=$candidate
  done
  [ -n "$programs" ] || fail "there is no PostgreSQL server here: run 'bash bootstrap.sh postgres' first."
  pg_ctl=("${as_server[@]}" "$programs/pg_ctl" -D "$directory/data")
  initdb=("${as_server[@]}" "$programs/initdb" -D "$directory/data")
}

running_postgres() { "${pg_ctl[@]}" status >/dev/null 2>&1; }

start_postgres() {
  if [ ! -e "$directory/data/PG_VERSION" ]; then
    say "making a data directory in $directory"
    (umask 077 && random_password >"$directory/password")
    [ ${#as_server[@]} = 0 ] || chown postgres "$directory/password"
    "${initdb[@]}" -U postgres -A scram-sha-256 --pwfile="$directory/password" -E UTF8 --no-locale \
      >"$directory/initdb.log" 2>&1 || fail "initdb failed; $directory/initdb.log says why."
  fi
  "${pg_ctl[@]}" -l "$directory/log" -w -t 60 start \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300" >/dev/null ||
    fail "PostgreSQL did not start; $directory/log says why. If port $port is taken, choose another with POSTGRES_PORT."
}

stop_postgres() {
  local mode=fast
  [ "${1:-}" != at-once ] || mode=immediate
  "${pg_ctl[@]}" -w -t 60 -m "$mode" stop >/dev/null || fail "PostgreSQL did not stop; $directory/log says why."
}

env_postgres() {
  [ -r "$directory/password" ] ||
    fail "PostgreSQL was never started here: run 'bash scripts/services.sh start postgres' first."
  local server database=${1:-postgres}
  server=postgres://postgres:$(cat "$directory/password")@127.0.0.1:$port
  [[ $database =~ ^[a-z][a-z0-9_]*$ ]] || fail "'$database' is no name for a database: use small letters, digits and _."
  if [ "$database" != postgres ] &&
    [ -z "$(psql -qtA "$server/postgres" -c "SELECT 1 FROM pg_database WHERE datname = '$database'")" ]; then
    psql -qtA "$server/postgres" -c "CREATE DATABASE $database" >/dev/null
  fi
  printf '%s/%s\n' "$server" "$database"
}

# --- Kafka --------------------------------------------------------------------------------------------------------

prepare_kafka() {
  port=${KAFKA_PORT:-19092}
  directory=$services/kafka
  mkdir -p "$directory"
  if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
    fail "Kafka needs Java and Maven: run 'bash bootstrap.sh kafka' first."
  fi
}

kafka_java() {
  java -cp "$directory/libs/*" -Dlog4j2.configurationFile=deploy/kafka/log4j2.properties "$@"
}

running_kafka() { [ -s "$directory/pid" ] && kill -0 "$(cat "$directory/pid")" 2>/dev/null; }

answers_kafka() { timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null; }

# Makes what the listeners that want a user need, where it is missing: the data may be older.
make_kafka_secrets() {
  [ -s "$directory/password" ] || random_password >"$directory/password"
  printf 'SCRAM-SHA-512=password=%s\n' "$(cat "$directory/password")" >"$directory/user.properties"
  [ ! -s "$directory/broker.pem" ] || return 0
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout "$directory/key.pem" -out "$directory/ca.pem" \
    >"$directory/openssl.log" 2>&1 || fail "a certificate could not be made; $directory/openssl.log says why."
  cat "$directory/key.pem" "$directory/ca.pem" >"$directory/broker.pem"
}

write_kafka_properties() {
  rm -f "$directory/server.properties"
  sed -e "s|@PORT@|$port|g; s|@CONTROLLER_PORT@|$((port + 1))|g; s|@SASL_PORT@|$((port + 2))|g; s|@TLS_PORT@|$((port + 3))|g" \
    -e "s|@DIRECTORY@|$directory|g; s|@PASSWORD@|$(cat "$directory/password")|g" \
    deploy/kafka/server.properties >"$directory/server.properties"
}

# Tells the running Kafka of the user for SCRAM. It keeps that, and saying it again does no harm.
add_kafka_user() {
  kafka_java -XX:TieredStopAtLevel=1 kafka.admin.ConfigCommand --bootstrap-server "127.0.0.1:$port" --alter \
    --entity-type users --entity-name claims --add-config-file "$directory/user.properties" >"$directory/user.log" 2>&1 ||
    fail "Kafka's user could not be made; $directory/user.log says why."
}

start_kafka() {
  if ! cmp -s deploy/kafka/pom.xml "$directory/libs/pom.xml"; then
    say "fetching Kafka's jars"
    rm -rf "$directory/libs"
    timeout 600 mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$directory/libs" >"$directory/maven.log" 2>&1 ||
      fail "Kafka's jars could not be fetched; $directory/maven.log says why."
    cp deploy/kafka/pom.xml "$directory/libs/pom.xml"
  fi
  (umask 077 && make_kafka_secrets && write_kafka_properties)
  if [ ! -e "$directory/data/meta.properties" ]; then
    say "making a data directory in $directory"
    kafka_java kafka.tools.StorageTool format -t "$(kafka_java kafka.tools.StorageTool random-uuid)" \
      -c "$directory/server.properties" >"$directory/format.log" 2>&1 ||
      fail "Kafka's data directory could not be made; $directory/format.log says why."
  fi
  ! answers_kafka || fail "port $port is taken: choose another with KAFKA_PORT."
  setsid java -Xmx512m -cp "$directory/libs/*" -Dlog4j2.configurationFile=deploy/kafka/log4j2.properties \
    kafka.Kafka "$directory/server.properties" >>"$directory/log" 2>&1 </dev/null &
  echo $! >"$directory/pid"
  local i
  for ((i = 0; i < 300; i++)); do
    answers_kafka && add_kafka_user && return
    running_kafka || break
    sleep 0.2
  done
  fail "Kafka did not start; $directory/log says why."
}

stop_kafka() {
  local pid i
  pid=$(cat "$directory/pid")
  if [ "${1:-}" = at-once ]; then kill -KILL "$pid"; else kill -TERM "$pid"; fi
  for ((i = 0; i < 150; i++)); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$directory/pid" && return; }
    sleep 0.2
  done
  say "Kafka did not stop in time: killed"
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$directory/pid"
}

env_kafka() {
  local listener=$port
  case ${1:-} in
    '') printf '127.0.0.1:%s\n' "$port" && return ;;
    sasl_plaintext) listener=$((port + 2)) ;;
    sasl_ssl) listener=$((port + 3)) ;;
    *) fail "Kafka has no listener '$1' here: there are sasl_plaintext and sasl_ssl." ;;
  esac
  [ -r "$directory/password" ] || fail "Kafka was never started here: run 'bash scripts/services.sh start kafka' first."
  printf 'KAFKA__BROKERS=127.0.0.1:%s\n' "$listener"
  printf 'KAFKA__SECURITY__%s\n' "PROTOCOL=$1" SASL_MECHANISM=SCRAM-SHA-512 SASL_USERNAME=claims \
    "SASL_PASSWORD=$(cat "$directory/password")"
  [ "$1" != sasl_ssl ] || printf 'KAFKA__SECURITY__CA_FILE=%s\n' "$directory/ca.pem"
}

# --- what to do ---------------------------------------------------------------------------------------------------

case ${1:-} in
  start | stop | status | wipe | env) ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac
case ${2:-} in
  postgres | kafka) service=$2 ;;
  *) usage >&2 && exit 2 ;;
esac

"prepare_$service"
case $1 in
  start)
    if "running_$service"; then
      say "$service runs already on port $port"
    else
      "start_$service"
      say "$service runs on port $port"
    fi
    ;;
  stop | wipe)
    if "running_$service"; then
      "stop_$service" "${3:-}"
      say "$service stopped"
    fi
    if [ "$1" = wipe ]; then
      # Kafka's jars are not data.
      find "$directory" -mindepth 1 -maxdepth 1 ! -name libs -exec rm -rf {} +
      say "$service's data is gone"
    fi
    ;;
  status) if "running_$service"; then echo "running on port $port"; else echo "stopped"; fi ;;
  env) "env_$service" "${@:3}" ;;
esac
