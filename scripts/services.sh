#!/usr/bin/env bash
# Runs a real PostgreSQL and a real Kafka on loopback without Docker, for tests and trials. Each checkout has its own data.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
usage: bash scripts/services.sh start|stop|status|wipe|env postgres|kafka
       bash scripts/services.sh env postgres DATABASE
       bash scripts/services.sh stop postgres|kafka at-once
       bash scripts/services.sh freeze|thaw kafka
       bash scripts/services.sh env kafka sasl_plaintext|sasl_ssl|proxied
       bash scripts/services.sh acl kafka add|remove topic|group NAME OPERATION...

start   starts the server, and creates its data directory the first time
stop    stops the server; at-once: kills it, as a crash would
freeze  stops its process with SIGSTOP, so that its connections fall silent; thaw continues it
status  prints whether it is running
wipe    stops it and deletes its data
env     prints its address: a postgres:// URL, or a host and port; with a DATABASE, the URL of that database, which is
        created if it is missing; with sasl_plaintext or sasl_ssl, the services' settings for the listener that requires
        authentication, without or with TLS; with proxied, a listener, and the address where its clients expect a proxy for it
acl     grants or takes operations (Read, Write, Describe) on a topic or a consumer group to Kafka's user 'restricted', who
        has no other rights, and has the password of the user 'claims' with the mechanism PLAIN

The ports are POSTGRES_PORT (15432) and KAFKA_PORT (19092; the next five are used by its controller, by the listeners that
require authentication, and by the listener for a proxy and the proxy). Data and logs are in postgres and kafka under SERVICES_DIRECTORY (.local). PostgreSQL refuses
to run as root: for root, its data is under /var/tmp if other users may not enter the directory.
END
}

log() { printf 'services: %s\n' "$*" >&2; }
fail() { log "$*"; exit 1; }

random_password() { head -c 24 /dev/urandom | base64 | tr -d '/+=\n'; }

services=$(realpath -m "${SERVICES_DIRECTORY:-.local}")

# --- PostgreSQL ---------------------------------------------------------------------------------------------------

# Sets the user of the server, its data directory, and its programs.
prepare_postgres() {
  port=${POSTGRES_PORT:-15432}
  as_server=()
  directory=$services/postgres
  mkdir -p "$directory"
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 ||
      fail "PostgreSQL does not run as root, and the user 'postgres' does not exist: run 'bash bootstrap.sh postgres' first."
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
  [ -n "$programs" ] || fail "PostgreSQL is not installed: run 'bash bootstrap.sh postgres' first."
  pg_ctl=("${as_server[@]}" "$programs/pg_ctl" -D "$directory/data")
  initdb=("${as_server[@]}" "$programs/initdb" -D "$directory/data")
}

running_postgres() { "${pg_ctl[@]}" status >/dev/null 2>&1; }

start_postgres() {
  if [ ! -e "$directory/data/PG_VERSION" ]; then
    log "creating a data directory in $directory"
    (umask 077 && random_password >"$directory/password")
    [ ${#as_server[@]} = 0 ] || chown postgres "$directory/password"
    "${initdb[@]}" -U postgres -A scram-sha-256 --pwfile="$directory/password" -E UTF8 --no-locale \
      >"$directory/initdb.log" 2>&1 || fail "initdb failed; see $directory/initdb.log."
  fi
  "${pg_ctl[@]}" -l "$directory/log" -w -t 60 start \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300" >/dev/null ||
    fail "PostgreSQL did not start; see $directory/log. If port $port is in use, choose another with POSTGRES_PORT."
}

stop_postgres() {
  local mode=fast
  [ "${1:-}" != at-once ] || mode=immediate
  "${pg_ctl[@]}" -w -t 60 -m "$mode" stop >/dev/null || fail "PostgreSQL did not stop; see $directory/log."
}

env_postgres() {
  [ -r "$directory/password" ] ||
    fail "PostgreSQL was never started here: run 'bash scripts/services.sh start postgres' first."
  local server database=${1:-postgres}
  server=postgres://postgres:$(cat "$directory/password")@127.0.0.1:$port
  [[ $database =~ ^[a-z][a-z0-9_]*$ ]] || fail "'$database' is not a valid database name: use lower-case letters, digits and _."
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

# Creates the password and the certificate of the listeners that require authentication, if missing: the data may be older.
make_kafka_secrets() {
  [ -s "$directory/password" ] || random_password >"$directory/password"
  printf 'SCRAM-SHA-512=password=%s\n' "$(cat "$directory/password")" >"$directory/user.properties"
  [ ! -s "$directory/broker.pem" ] || return 0
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout "$directory/key.pem" -out "$directory/ca.pem" \
    >"$directory/openssl.log" 2>&1 || fail "a certificate could not be created; see $directory/openssl.log."
  cat "$directory/key.pem" "$directory/ca.pem" >"$directory/broker.pem"
}

write_kafka_properties() {
  rm -f "$directory/server.properties"
  sed -e "s|@PORT@|$port|g; s|@CONTROLLER_PORT@|$((port + 1))|g; s|@SASL_PORT@|$((port + 2))|g; s|@TLS_PORT@|$((port + 3))|g" \
    -e "s|@PROXIED_PORT@|$((port + 4))|g; s|@PROXY_PORT@|$((port + 5))|g" \
    -e "s|@DIRECTORY@|$directory|g; s|@PASSWORD@|$(cat "$directory/password")|g" \
    deploy/kafka/server.properties >"$directory/server.properties"
}

# Adds the SCRAM user to the running Kafka, which stores it. Repeating this is harmless.
add_kafka_user() {
  kafka_java -XX:TieredStopAtLevel=1 kafka.admin.ConfigCommand --bootstrap-server "127.0.0.1:$port" --alter \
    --entity-type users --entity-name claims --add-config-file "$directory/user.properties" >"$directory/user.log" 2>&1 ||
    fail "Kafka's user could not be created; see $directory/user.log."
}

acl_kafka() {
  local change=${1:-} kind=${2:-} name=${3:-} operation
  case $change,$kind in
    add,topic | add,group | remove,topic | remove,group) ;;
    *) fail "use: acl kafka add|remove topic|group NAME OPERATION..." ;;
  esac
  local arguments=("--$change" "--$kind" "$name" --allow-principal User:restricted)
  for operation in "${@:4}"; do arguments+=(--operation "$operation"); done
  [ "$change" = add ] || arguments+=(--force)
  kafka_java -XX:TieredStopAtLevel=1 org.apache.kafka.tools.AclCommand --bootstrap-server "127.0.0.1:$port" \
    "${arguments[@]}" >"$directory/acl.log" 2>&1 || fail "the rights could not be changed; see $directory/acl.log."
}

start_kafka() {
  if ! cmp -s deploy/kafka/pom.xml "$directory/libs/pom.xml"; then
    log "fetching Kafka's jars"
    rm -rf "$directory/libs"
    timeout 600 mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$directory/libs" >"$directory/maven.log" 2>&1 ||
      fail "Kafka's jars could not be fetched; see $directory/maven.log."
    cp deploy/kafka/pom.xml "$directory/libs/pom.xml"
  fi
  (umask 077 && make_kafka_secrets && write_kafka_properties)
  if [ ! -e "$directory/data/meta.properties" ]; then
    log "creating a data directory in $directory"
    kafka_java kafka.tools.StorageTool format -t "$(kafka_java kafka.tools.StorageTool random-uuid)" \
      -c "$directory/server.properties" >"$directory/format.log" 2>&1 ||
      fail "Kafka's data directory could not be created; see $directory/format.log."
  fi
  ! answers_kafka || fail "port $port is in use: choose another with KAFKA_PORT."
  setsid java -Xmx512m -cp "$directory/libs/*" -Dlog4j2.configurationFile=deploy/kafka/log4j2.properties \
    kafka.Kafka "$directory/server.properties" >>"$directory/log" 2>&1 </dev/null &
  echo $! >"$directory/pid"
  local i
  for ((i = 0; i < 300; i++)); do
    answers_kafka && add_kafka_user && return
    running_kafka || break
    sleep 0.2
  done
  fail "Kafka did not start; see $directory/log."
}

stop_kafka() {
  local pid i
  pid=$(cat "$directory/pid")
  if [ "${1:-}" = at-once ]; then kill -KILL "$pid"; else kill -TERM "$pid"; fi
  for ((i = 0; i < 150; i++)); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$directory/pid" && return; }
    sleep 0.2
  done
  log "Kafka did not stop in time: killed"
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$directory/pid"
}

freeze_kafka() { kill -STOP "$(cat "$directory/pid")"; }
thaw_kafka() { kill -CONT "$(cat "$directory/pid")"; }

env_kafka() {
  local listener=$port
  case ${1:-} in
    '') printf '127.0.0.1:%s\n' "$port" && return ;;
    sasl_plaintext) listener=$((port + 2)) ;;
    sasl_ssl) listener=$((port + 3)) ;;
    proxied) printf '127.0.0.1:%s 127.0.0.1:%s\n' "$((port + 4))" "$((port + 5))" && return ;;
    *) fail "Kafka has no listener '$1': use sasl_plaintext, sasl_ssl or proxied." ;;
  esac
  [ -r "$directory/password" ] || fail "Kafka was never started here: run 'bash scripts/services.sh start kafka' first."
  printf 'KAFKA__BROKERS=127.0.0.1:%s\n' "$listener"
  printf 'KAFKA__SECURITY__%s\n' "PROTOCOL=$1" SASL_MECHANISM=SCRAM-SHA-512 SASL_USERNAME=claims \
    "SASL_PASSWORD=$(cat "$directory/password")"
  [ "$1" != sasl_ssl ] || printf 'KAFKA__SECURITY__CA_FILE=%s\n' "$directory/ca.pem"
}

# --- commands -----------------------------------------------------------------------------------------------------

case ${1:-} in
  start | stop | freeze | thaw | status | wipe | env | acl) ;;
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
      log "$service is already running on port $port"
    else
      "start_$service"
      log "$service is running on port $port"
    fi
    ;;
  stop | wipe)
    if "running_$service"; then
      "stop_$service" "${3:-}"
      log "$service stopped"
    fi
    if [ "$1" = wipe ]; then
      # Kafka's jars are kept, because they are not data.
      find "$directory" -mindepth 1 -maxdepth 1 ! -name libs -exec rm -rf {} +
      log "the data of $service is deleted"
    fi
    ;;
  status) if "running_$service"; then echo "running on port $port"; else echo "stopped"; fi ;;
  env) "env_$service" "${@:3}" ;;
  freeze | thaw)
    [ "$service" = kafka ] || fail "only Kafka can be frozen: PostgreSQL has many processes."
    "$1_kafka"
    ;;
  acl)
    [ "$service" = kafka ] || fail "only Kafka's rights can be changed."
    acl_kafka "${@:3}"
    ;;
esac
