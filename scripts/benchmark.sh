#!/usr/bin/env bash
# Builds the programs for release, starts a PostgreSQL and a Kafka of its own and runs the benchmark on them. Arguments go to the
# program; --help lists them. The report is written to .local/benchmark.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SERVICES_DIRECTORY=${SERVICES_DIRECTORY:-.local/benchmark-servers} POSTGRES_PORT=${POSTGRES_PORT:-35432} KAFKA_PORT=${KAFKA_PORT:-39092}
bash bootstrap.sh postgres kafka
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
cargo build --release --workspace --bins --quiet
trap 'for server in kafka postgres; do bash scripts/services.sh stop "$server"; done' EXIT
bash scripts/services.sh wipe kafka
for server in postgres kafka; do bash scripts/services.sh start "$server"; done
BENCHMARK_POSTGRES_URL=$(bash scripts/services.sh env postgres)
# Counts statements. A server loads the extension only when it starts.
if [ -z "$(psql -qtA "$BENCHMARK_POSTGRES_URL" -c 'SHOW shared_preload_libraries')" ] &&
  [ -n "$(psql -qtA "$BENCHMARK_POSTGRES_URL" -c "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'")" ]; then
  psql -qtA "$BENCHMARK_POSTGRES_URL" -c 'ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements'
  for change in stop start; do bash scripts/services.sh "$change" postgres; done
fi
BENCHMARK_KAFKA_BROKERS=$(bash scripts/services.sh env kafka)
BENCHMARK_KAFKA_PROCESS=$(cat "$SERVICES_DIRECTORY/kafka/pid")
export BENCHMARK_POSTGRES_URL BENCHMARK_KAFKA_BROKERS BENCHMARK_KAFKA_PROCESS
cargo run --release --package system_tests --bin benchmark -- "$@"
