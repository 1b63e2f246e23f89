#!/usr/bin/env bash
# Runs the whole system on this machine, or its tests. crates/launcher starts and supervises the processes;
# scripts/run_containers.sh runs the containers.
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
           Variables of the environment are kept:
             LOCAL_BROKER__LISTEN (127.0.0.1:9092), SIMULATED_GATEWAY__HTTP__PORT (8090), CLAIM_PROCESS__HTTP__PORT
             (8000), PAYMENTS__HTTP__PORT (8001, the first of N), and every other setting of the services
             RUNSERVER_READY_SECONDS (60)  how long each process may take to become ready
             RUNSERVER_STOP_SECONDS (20)   how long each process may take to stop before it is killed
             RUNSERVER_RESTARTS (5)        how often each process is restarted within 60 s before all are stopped
test       runs cargo test on SQLite and the local broker, and on a PostgreSQL and a Kafka that it starts (or those that
           TEST_POSTGRES_URL and TEST_KAFKA_BROKERS name). Ends with the numbers of passed, failed and skipped tests, one
           line for each backend and one for all. If a server cannot be started, its tests are skipped; in CI they fail.
           TEST_THOROUGH=1 runs the models, properties and sieges with as many cases as in CI.
docker     runs everything in one container, until Ctrl-C: the API is on localhost:8000, the data in the volume
           claims-to-payments. Uses docker or podman (CONTAINER_ENGINE chooses), and needs neither Rust nor libraries.
           With --prebuilt it uses the binaries in a directory instead of building them.
dockercompose
           runs docker-compose.yml in the background: PostgreSQL, Kafka, the gateway, claim_process and N payments
           (default 1, at most 16). Passwords are generated once, in .local/compose.env. 'down' stops it and keeps the data.
END
}

((BASH_VERSINFO[0] >= 5)) || { printf 'develop_local.sh: bash 5 is required, and this is %s: install a newer bash.\n' "$BASH_VERSION" >&2 && exit 1; }

# Installs what is missing, builds the launcher, and replaces this process with it.
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
  *) printf "develop_local.sh: unknown command '%s': use runserver, test, docker or dockercompose; see --help.\n" "$1" >&2 && exit 2 ;;
esac
