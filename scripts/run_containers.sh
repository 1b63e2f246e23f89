#!/usr/bin/env bash
# Runs the whole system in containers, for 'bash develop_local.sh docker' and 'dockercompose'; see its --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'develop_local.sh: %s\n' "$*" >&2; exit 1; }
misused() { printf 'develop_local.sh: %s\n' "$*" >&2; exit 2; }
# shellcheck source=scripts/container_engine.sh
. scripts/container_engine.sh

default() { [ -n "${!1:-}" ] || printf -v "$1" '%s' "$2"; export "${1?}"; }

# Checks that the variable $1, which the user sets as $2, is a whole number from $3 to $4.
whole_number() {
  if ! [[ ${!1} =~ ^(0|[1-9][0-9]{0,4})$ ]] || ((${!1} < $3 || ${!1} > $4)); then
    misused "$2 is '${!1}': set it to a whole number from $3 to $4."
  fi
}

# shellcheck disable=SC2016 # the inner shell expands it
accepts() { timeout 2 bash -c 'exec 3<>"/dev/tcp/${0%:*}/${0##*:}"' "$1" 2>/dev/null; }
is_ready() { curl -fs -o /dev/null --noproxy '*' --max-time 2 "http://$1/readyz" 2>/dev/null; }

# refuse_taken HOST:PORT USER REMEDY
refuse_taken() {
  ! accepts "$1" || fail "$1 is in use, and $2 needs it: stop the program that listens there$3."
}

# take_prebuilt --prebuilt DIRECTORY: sets the caller's prebuilt and suffix.
take_prebuilt() {
  [ $# -gt 1 ] || misused "--prebuilt needs the directory of the binaries, as in --prebuilt target/release."
  prebuilt=$2 suffix=_prebuilt
}

run_docker() {
  local suffix='' port
  find_engine
  while [ $# -gt 0 ]; do
    case $1 in
      --prebuilt) take_prebuilt "$@" && shift ;;
      -h | --help) exec bash develop_local.sh --help ;;
      *) misused "unknown option '$1': use --prebuilt DIRECTORY." ;;
    esac
    shift
  done
  default CLAIM_PROCESS__HTTP__PORT 8000
  default PAYMENTS__HTTP__PORT 8001
  default SIMULATED_GATEWAY__HTTP__PORT 8090
  for port in CLAIM_PROCESS PAYMENTS SIMULATED_GATEWAY; do
    port=${port}__HTTP__PORT
    whole_number "$port" "$port" 1 65535
    refuse_taken "127.0.0.1:${!port}" "the container" ", or set $port to publish another"
  done
  [ -z "$suffix" ] || stage_binaries "$prebuilt"
  build_image all_in_one "$images_version" "$suffix"
  printf '\nOnce everything is ready, try:\n\n'
  printf "  curl -s -H 'content-type: text/csv' --data-binary @scripts/claim_1234.csv http://127.0.0.1:%s/v1/claims\n" "$CLAIM_PROCESS__HTTP__PORT"
  printf '  curl -s http://127.0.0.1:%s/v1/ledger/audit\n\nData is in the volume claims-to-payments. Ctrl-C stops it.\n\n' "$PAYMENTS__HTTP__PORT"
  exec "$engine" run --rm --name claims-to-payments --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \
    --memory 1g --pids-limit 512 --volume claims-to-payments:/data \
    --publish "127.0.0.1:$CLAIM_PROCESS__HTTP__PORT:8000" --publish "127.0.0.1:$PAYMENTS__HTTP__PORT:8001" \
    --publish "127.0.0.1:$SIMULATED_GATEWAY__HTTP__PORT:8090" "claims-to-payments/all_in_one:$images_version"
}

# The value of $1 in the environment or the env file, or the default $2.
env_of_compose() {
  local value=${!1:-}
  [ -n "$value" ] || value=$(sed -n "s/^$1=//p" "$env_file" | tail -n 1)
  printf '%s\n' "${value:-$2}"
}

run_dockercompose() {
  local service suffix='' port until claims instances=1
  find_engine
  find_compose
  env_file=.local/compose.env
  if [ ! -e "$env_file" ] && "$engine" volume inspect claims-to-payments_postgres_data >/dev/null 2>&1; then
    # Starting the database needs its passwords; stopping it does not.
    [[ ${1:-} == [a-z]* ]] ||
      fail "the database of an earlier stack exists, but the file with its passwords, $env_file, does not: restore that file, or delete the database and its data with 'bash develop_local.sh dockercompose down --volumes'."
    env_file=.local/compose.env.unknown
    make_env_file "$env_file"
  elif [ ! -e "$env_file" ]; then
    make_env_file "$env_file"
    printf 'develop_local.sh: generated passwords in %s; keep that file as long as the volumes of this stack.\n' "$env_file"
  fi
  compose+=(--env-file "$env_file")
  case ${1:-} in
    '' | --*) ;;
    down) shift && compose_down claims-to-payments "$@" && exit ;;
    *) exec "${compose[@]}" "$@" ;;
  esac
  while [ $# -gt 0 ]; do
    case $1 in
      --prebuilt) take_prebuilt "$@" && shift ;;
      --payments)
        [ $# -gt 1 ] || misused "--payments needs a number, as in --payments 3."
        instances=$2
        whole_number instances --payments 0 16
        shift
        ;;
      --help) exec bash develop_local.sh --help ;;
      *) misused "unknown option '$1': use --prebuilt DIRECTORY, --payments N, or a command of compose." ;;
    esac
    shift
  done
  if [ -z "$("${compose[@]}" ps -q 2>/dev/null)" ]; then
    refuse_taken "127.0.0.1:$(env_of_compose CLAIMS_PORT 8000)" claim_process ", or set CLAIMS_PORT in $env_file"
    refuse_taken "127.0.0.1:$(env_of_compose GATEWAY_PORT 8090)" "the gateway" ", or set GATEWAY_PORT in $env_file"
  fi
  [ -z "$suffix" ] || stage_binaries "$prebuilt"
  for service in "${services[@]}"; do build_image "$service" "$(env_of_compose IMAGE_TAG "$images_version")" "$suffix"; done
  "${compose[@]}" up -d --no-build --scale "payments=$instances"
  claims=127.0.0.1:$(env_of_compose CLAIMS_PORT 8000)
  until=$((SECONDS + 180))
  printf 'develop_local.sh: waiting until claim_process is ready\n'
  until is_ready "$claims"; do
    ((SECONDS < until)) || {
      "${compose[@]}" ps
      "${compose[@]}" logs --tail 1
      fail "claim_process is not ready after 180 s; see the log lines above. 'bash develop_local.sh dockercompose down' stops everything."
    }
    sleep 1
  done
  printf '\nReady. Try:\n\n'
  printf "  curl -s -H 'content-type: text/csv' --data-binary @scripts/claim_1234.csv http://%s/v1/claims\n" "$claims"
  port=$("${compose[@]}" port payments 8001 2>/dev/null | tail -n 1)
  [ -z "$port" ] || printf '  curl -s http://127.0.0.1:%s/v1/ledger/audit\n' "${port##*:}"
  printf '\nbash develop_local.sh dockercompose logs -f    shows the logs\n'
  printf 'bash develop_local.sh dockercompose down       stops everything and keeps the data\n'
}

what=$1
shift
case $what in
  docker) run_docker "$@" ;;
  dockercompose) run_dockercompose "$@" ;;
  *) misused "unknown command '$what': use docker or dockercompose." ;;
esac
