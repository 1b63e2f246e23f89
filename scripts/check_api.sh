#!/usr/bin/env bash
# Tests both services against their OpenAPI documents with schemathesis: it generates thousands of valid and invalid requests, and
# checks every answer: no 500, only described statuses and content types, and bodies that match their schemas.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
usage: bash scripts/check_api.sh [SECONDS]

Builds and starts claim_process and payments on loopback, with databases of their own and no Kafka, and tests each for up to
SECONDS (60). schemathesis is installed from PyPI into .local/schemathesis. Ports: CHECK_CLAIMS_PORT (18200) and
CHECK_PAYMENTS_PORT (18201).
END
}

fail() { printf 'check_api.sh: %s\n' "$*" >&2; exit 1; }
case ${1:-} in -h | --help) usage; exit 0 ;; esac
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]{0,3}$ ]] || { usage >&2; exit 2; }
readonly seconds claims_port=${CHECK_CLAIMS_PORT:-18200} payments_port=${CHECK_PAYMENTS_PORT:-18201}
readonly version=4.32.5 venv=$PWD/.local/schemathesis
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

if [ "$("$venv/bin/schemathesis" --version 2>/dev/null | grep -o '[0-9.]*$')" != "$version" ]; then
  python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "schemathesis==$version" ||
    fail "schemathesis $version could not be installed: it needs python3 with venv, and PyPI."
fi
cargo build --package claim_process --package payments
bin=${CARGO_TARGET_DIR:-$PWD/target}/debug

work=$(mktemp -d)
pids=()
clean_up() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait "${pids[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

# start NAME PORT: starts a service, whose settings are in the environment, and waits until it answers.
start() {
  "$bin/$1" >"$work/$1.log" 2>&1 &
  pids+=($!)
  local i
  for ((i = 0; i < 100; i++)); do
    # Another process may answer on the port.
    kill -0 "${pids[-1]}" 2>/dev/null || break
    ! curl --silent --fail --output /dev/null "http://127.0.0.1:$2/healthz" || return 0
    sleep 0.2
  done
  cat "$work/$1.log" >&2
  fail "$1 does not answer on port $2; its log is above."
}

# No server listens on port 1, so the services run without Kafka and are not ready.
export CLAIM_PROCESS__HTTP__PORT=$claims_port CLAIM_PROCESS__DATABASE__URL=sqlite://$work/claims.db
export CLAIM_PROCESS__KAFKA__BROKERS=127.0.0.1:1 CLAIM_PROCESS__KAFKA__PRODUCER__FLUSH_TIMEOUT_MS=100
export CLAIM_PROCESS__RATE_LIMIT__WRITES_PER_MINUTE=6000000 CLAIM_PROCESS__RATE_LIMIT__TOP_PROVIDERS_PER_MINUTE=60000
export PAYMENTS__HTTP__PORT=$payments_port PAYMENTS__DATABASE__URL=sqlite://$work/payments.db
export PAYMENTS__KAFKA__BROKERS=127.0.0.1:1 PAYMENTS__KAFKA__PRODUCER__FLUSH_TIMEOUT_MS=100
export PAYMENTS__GATEWAY__URL=http://127.0.0.1:1 PAYMENTS__GATEWAY__WEBHOOK_SECRET=secret
start claim_process "$claims_port"
start payments "$payments_port"

export SCHEMATHESIS_HOOKS=check_api_hooks PYTHONPATH=$PWD/scripts PYTHONDONTWRITEBYTECODE=1
status=0
for port in "$claims_port" "$payments_port"; do
  printf '\n== http://127.0.0.1:%s\n' "$port"
  # /readyz correctly answers 503 here, which would count as a server error; each service's own tests cover it.
  # The rules decide whether a claim is accepted, and a schema cannot express them: a valid body may be refused.
  (cd "$work" && timeout --foreground $((seconds + 60)) "$venv/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
    --exclude-path /readyz --mode all --generation-database none --max-examples 100 --max-time "$seconds" --no-color) || status=$?
done
[ "$status" = 0 ] || fail "some answers do not match the document: see the curl commands above."
