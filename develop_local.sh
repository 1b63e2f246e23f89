#!/usr/bin/env bash
# Runs the whole system on this machine, or its tests. What starts and watches processes is crates/launcher; what runs
# containers is scripts/run_containers.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'END'
usage: bash develop_local.sh runserver [--release] [--postgres] [--kafka] [--payments N]
       bash develop_local.sh test [arguments for cargo test]
       bash develop_local.sh docker [--prebuilt DIRECTORY]
       bash develop_local.sh dockercompose [--prebuilt DIRECTORY] [--payments N]
       bash develop_local.sh dockercompose down|ps|logs|… [arguments for compose]

runserver  builds and starts the local broker, the simulated gateway, claim_process and N payments (default 1, at most
           32), and stops them all on Ctrl-C. Data and logs are under .local/. With --postgres and --kafka it starts a
           real PostgreSQL for all data and a real Kafka instead of the local broker (see scripts/services.sh).
           What the environment sets is kept:
             LOCAL_BROKER__LISTEN (127.0.0.1:9092), SIMULATED_GATEWAY__HTTP__PORT (8090), CLAIM_PROCESS__HTTP__PORT
             (8000), PAYMENTS__HTTP__PORT (8001, the first of N), and every other setting of the services
             RUNSERVER_READY_SECONDS (60)  how long each may take to be ready
             RUNSERVER_STOP_SECONDS (20)   how long each may take to stop before it is killed
             RUNSERVER_RESTARTS (5)        how often each is started again within 60 s before everything stops
test       runs cargo test on SQLite and the local broker, and on a PostgreSQL and a Kafka that it starts for that (or
           those that TEST_POSTGRES_URL and TEST_KAFKA_BROKERS name), and ends with how many passed, failed and were
           skipped: a line for each backend, and one for all. Where a server cannot be started its tests are skipped; in
           CI that is a failure. TEST_THOROUGH=1 runs the models, properties and sieges with as many cases as CI does.
docker     runs all of it in one container, until Ctrl-C: the API is on localhost:8000, the data in the volume
           claims-to-payments. Takes docker or podman, whichever is there (CONTAINER_ENGINE chooses), and needs neither
           Rust nor libraries. With --prebuilt it takes the binaries in a directory instead of building them.
dockercompose
           runs docker-compose.yml in the background: PostgreSQL, Kafka, the gateway, claim_process and N payments
           (default 1, at most 16). Passwords are made once, in .local/compose.env. 'down' stops it and keeps the data.
END
}

((BASH_VERSINFO[0] >= 5)) || { printf 'develop_local.sh: this needs bash 5 and runs in %s: install a newer bash.\n' "$BASH_VERSION" >&2 && exit 1; }

# Sets up what is missing, builds the launcher, and becomes it.
launch() {
  bash bootstrap.sh
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  cargo build --quiet --package launcher
  exec "${CARGO_TARGET_DIR:-target}/debug/launcher" "$@"
}

case "${1:-} ${2:-}" in
  ' '* | '-h '* | '--help '* | 'help '* | 'runserver -h' | 'runserver --help') usage ;;
  'runserver '* | 'test '*) launch "$@" ;;
  'docker '* | 'dockercompose '*) exec bash scripts/run_containers.sh "$@" ;;
  *) printf "develop_local.sh: there is no '%s': there are runserver, test, docker and dockercompose; --help says more.\n" "$1" >&2 && exit 2 ;;
esac
