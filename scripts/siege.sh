#!/usr/bin/env bash
# Starts a PostgreSQL and a Kafka of its own and runs the siege on them: claims of all fates are sent while instances are killed,
# servers crash, or the network fails. Arguments go to the program; --help lists them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SERVICES_DIRECTORY=${SERVICES_DIRECTORY:-.local/test} POSTGRES_PORT=${POSTGRES_PORT:-25432} KAFKA_PORT=${KAFKA_PORT:-29092}
bash bootstrap.sh postgres kafka
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
trap 'for server in kafka postgres; do bash scripts/services.sh stop "$server"; done' EXIT
for server in postgres kafka; do bash scripts/services.sh start "$server"; done
TEST_POSTGRES_URL=$(bash scripts/services.sh env postgres)
TEST_KAFKA_BROKERS=$(bash scripts/services.sh env kafka)
export TEST_POSTGRES_URL TEST_KAFKA_BROKERS
cargo run --package system_tests --bin siege -- "$@"
