#!/usr/bin/env bash
# Runs the whole system on this machine, or its tests. `runserver` is a small supervisor: it starts the processes in
# order, shows what they print, starts again what dies, and leaves nothing behind when it ends.
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
           CI that is a failure.
docker     runs all of it in one container, until Ctrl-C: the API is on localhost:8000, the data in the volume
           claims-to-payments. Takes docker or podman, whichever is there (CONTAINER_ENGINE chooses), and needs neither
           Rust nor libraries. With --prebuilt it takes the binaries in a directory instead of building them.
dockercompose
           runs docker-compose.yml in the background: PostgreSQL, Kafka, the gateway, claim_process and N payments
           (default 1, at most 16). Passwords are made once, in .local/compose.env. 'down' stops it and keeps the data.
END
}

fail() { printf 'develop_local.sh: %s\n' "$*" >&2; exit 1; }
((BASH_VERSINFO[0] >= 5)) || fail "this needs bash 5 and runs in $BASH_VERSION: install a newer bash."
misused() { printf 'develop_local.sh: %s\n' "$*" >&2; exit 2; }

bootstrap() {
  bash bootstrap.sh
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
}

# --- test ---------------------------------------------------------------------------------------------------------

run_tests() {
  local argument scope=(--workspace) status=0
  for argument in "$@"; do
    case $argument in
      --) break ;;
      -p* | --package | --package=* | --workspace) scope=() ;;
    esac
  done
  bootstrap

  transcript=$(mktemp)
  TEST_SKIPS_FILE=$(mktemp)
  export TEST_SKIPS_FILE
  started=()
  trap clean_up_after_tests EXIT
  # Servers of the tests' own: they wipe them, and a running system must not notice.
  default SERVICES_DIRECTORY .local/test
  default POSTGRES_PORT 25432
  default KAFKA_PORT 29092
  start_test_server postgres TEST_POSTGRES_URL
  start_test_server kafka TEST_KAFKA_BROKERS
  bash bootstrap.sh kcat || missing_for_tests kcat installed
  cargo test "${scope[@]}" "$@" | tee "$transcript" || status=${PIPESTATUS[0]}

  local results passed failed skipped filtered
  read -r results passed failed skipped filtered < <(awk '
    /^test result: / {
      results++
      for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") skipped += $(i - 1)
        if ($i == "filtered") filtered += $(i - 1)
      }
    }
    END { print results + 0, passed + 0, failed + 0, skipped + 0, filtered + 0 }' "$transcript")
  # A name that fits nothing, `--no-run` and the like may run no test; a plain run must find some.
  if [ "$status" = 0 ] && [ $((passed + failed + filtered)) = 0 ] && { [ "$results" -gt 0 ] || [ $# = 0 ]; }; then
    printf 'develop_local.sh: no test ran: look at what cargo says above.\n' >&2
    status=1
  fi
  local without_server
  without_server=$(wc -l <"$TEST_SKIPS_FILE")
  if [ "$without_server" -gt 0 ]; then
    printf '%s tests were skipped: %s\n' "$without_server" "$(cut -f 2 "$TEST_SKIPS_FILE" | sort -u | paste -sd ';')"
  fi
  count_by_backend "$passed" "$failed" "$skipped"
  printf '%s passed, %s failed, %s skipped\n' $((passed - without_server)) "$failed" $((skipped + without_server))
  exit "$status"
}

# Which backend a test runs on is in its name: `on_both_databases!` makes tests that end in ::sqlite and ::postgres, and the
# name of a test on the real Kafka (and perhaps PostgreSQL too) ends in _on_kafka or _and_kafka. $1, $2 and $3 are how many
# passed, failed and were ignored in all; cargo counts those that noted themselves as skipped among the passed.
count_by_backend() {
  awk -F '[ \t]' -v passed="$1" -v failed="$2" -v ignored="$3" '
    function backend(name) {
      if (name ~ /::sqlite$/) return "sqlite"
      if (name ~ /::postgres$/) return "postgres"
      if (name ~ /_(on|and)_kafka$/) return "kafka"
      return "other"
    }
    FILENAME == ARGV[1] { count[backend($1), "skipped"]++; count[backend($1), "ok"]--; next }
    /^test .* \.\.\. (ok|FAILED|ignored)/ && backend($2) != "other" {
      result = $4 ~ /^ignored/ ? "skipped" : $4
      count[backend($2), result]++
      if (result == "ok") passed--; else if (result == "FAILED") failed--; else ignored--
    }
    END {
      count["other", "ok"] += passed; count["other", "FAILED"] += failed; count["other", "skipped"] += ignored
      split("sqlite postgres kafka other", names, " ")
      for (i = 1; i <= 4; i++)
        printf "%s: %d passed, %d failed, %d skipped\n", names[i], count[names[i], "ok"], count[names[i], "FAILED"], count[names[i], "skipped"]
    }' "$TEST_SKIPS_FILE" "$transcript"
}

# Starts the server $1 unless the variable $2 names one already, and names it there.
start_test_server() {
  [ -z "${!2:-}" ] || return 0
  if bash bootstrap.sh "$1" && bash scripts/services.sh start "$1"; then
    started+=("$1")
    printf -v "$2" '%s' "$(bash scripts/services.sh env "$1")"
    export "${2?}"
  else
    missing_for_tests "$1" started
  fi
}

# What some tests need could not be had: they are skipped, which CI does not allow.
missing_for_tests() {
  [ -z "${CI:-}" ] || fail "$1 could not be $2 (see above), and in CI every test must run."
  printf 'develop_local.sh: %s could not be %s (see above): the tests that need it are skipped.\n' "$1" "$2" >&2
}

clean_up_after_tests() {
  local service
  rm -f "$transcript" "$TEST_SKIPS_FILE"
  for service in "${started[@]}"; do bash scripts/services.sh stop "$service"; done
}

# --- runserver: what to run ---------------------------------------------------------------------------------------

names=()           # in the order of starting
declare -A address # where each listens, host:port
declare -A setting # the environment variable that moves it
declare -A colour  # of its name on a terminal
readonly colours=(36 33 35 32 34 96)
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then coloured=yes; else coloured=; fi

default() { [ -n "${!1:-}" ] || printf -v "$1" '%s' "$2"; export "${1?}"; }

# A whole number from $3 to $4 in the variable $1, which the user knows as $2.
whole_number() {
  if ! [[ ${!1} =~ ^(0|[1-9][0-9]{0,4})$ ]] || ((${!1} < $3 || ${!1} > $4)); then
    misused "$2 is '${!1}': give it a whole number from $3 to $4."
  fi
}

# Where to reach what listens on host $1, port $2.
reached_at() {
  case $1 in
    '' | 0.0.0.0 | ::) printf '127.0.0.1:%s' "$2" ;;
    *) printf '%s:%s' "$1" "$2" ;;
  esac
}

add() {
  colour[$1]=${colours[${#names[@]} % ${#colours[@]}]}
  names+=("$1")
  address[$1]=$2
  setting[$1]=$3
}

plan() {
  local i
  default LOCAL_BROKER__LISTEN 127.0.0.1:9092
  default SIMULATED_GATEWAY__HTTP__PORT 8090
  default CLAIM_PROCESS__HTTP__PORT 8000
  default PAYMENTS__HTTP__PORT 8001
  default RUNSERVER_READY_SECONDS 60
  default RUNSERVER_STOP_SECONDS 20
  default RUNSERVER_RESTARTS 5
  for i in SIMULATED_GATEWAY__HTTP__PORT CLAIM_PROCESS__HTTP__PORT PAYMENTS__HTTP__PORT; do
    whole_number "$i" "$i" 1 65535
  done
  whole_number RUNSERVER_READY_SECONDS RUNSERVER_READY_SECONDS 1 3600
  whole_number RUNSERVER_STOP_SECONDS RUNSERVER_STOP_SECONDS 0 3600
  whole_number RUNSERVER_RESTARTS RUNSERVER_RESTARTS 0 1000
  [[ $LOCAL_BROKER__LISTEN == ?*:* ]] ||
    misused "LOCAL_BROKER__LISTEN is '$LOCAL_BROKER__LISTEN': give it a host and a port, as in 127.0.0.1:9092."

  local gateway
  gateway=$(reached_at "${SIMULATED_GATEWAY__HTTP__HOST:-}" "$SIMULATED_GATEWAY__HTTP__PORT")
  [[ " ${servers[*]} " == *" kafka "* ]] || add local_broker "$LOCAL_BROKER__LISTEN" LOCAL_BROKER__LISTEN
  add simulated_gateway "$gateway" SIMULATED_GATEWAY__HTTP__PORT
  add claim_process "$(reached_at "${CLAIM_PROCESS__HTTP__HOST:-}" "$CLAIM_PROCESS__HTTP__PORT")" CLAIM_PROCESS__HTTP__PORT
  for ((i = 1; i <= payments; i++)); do
    add "payments-$i" "$(reached_at "${PAYMENTS__HTTP__HOST:-}" $((PAYMENTS__HTTP__PORT + i - 1)))" PAYMENTS__HTTP__PORT
  done

  default PAYMENTS__GATEWAY__URL "http://$gateway"
  # A secret for this run, by which payments knows the gateway's words.
  default PAYMENTS__GATEWAY__WEBHOOK_SECRET "$(head -c 24 /dev/urandom | base64)"
  default SIMULATED_GATEWAY__WEBHOOK__SECRET "$PAYMENTS__GATEWAY__WEBHOOK_SECRET"
  if [ "$payments" -gt 0 ]; then
    default SIMULATED_GATEWAY__WEBHOOK__URL "http://${address[payments-1]}/v1/webhooks/gateway"
  fi
}

# Starts the servers that were asked for, and tells each process where its database and its Kafka are.
start_servers() {
  local server brokers=$LOCAL_BROKER__LISTEN
  local claims=sqlite://.local/claims.db payments=sqlite://.local/payments.db gateway=sqlite://.local/gateway.db
  for server in "${servers[@]}"; do
    bash bootstrap.sh "$server"
    [ "$(bash scripts/services.sh status "$server")" != stopped ] || started+=("$server")
    bash scripts/services.sh start "$server"
    case $server in
      postgres)
        claims=$(bash scripts/services.sh env postgres claims)
        payments=$(bash scripts/services.sh env postgres payments)
        gateway=$(bash scripts/services.sh env postgres gateway)
        ;;
      kafka) brokers=$(bash scripts/services.sh env kafka) ;;
    esac
  done
  default CLAIM_PROCESS__DATABASE__URL "$claims"
  default PAYMENTS__DATABASE__URL "$payments"
  default SIMULATED_GATEWAY__DATABASE__URL "$gateway"
  default CLAIM_PROCESS__KAFKA__BROKERS "$brokers"
  default PAYMENTS__KAFKA__BROKERS "$brokers"
  [ "$brokers" = "$LOCAL_BROKER__LISTEN" ] || return 0
  # The local broker gives a restarted instance its partitions back only when the old one's session is over.
  default CLAIM_PROCESS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS 3000
  default PAYMENTS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS 3000
}

# Sets `command` to what starts the process $1.
command_of() {
  case $1 in
    local_broker) command=("$binaries/local_broker" --listen "$LOCAL_BROKER__LISTEN") ;;
    payments-*) command=(env "PAYMENTS__HTTP__PORT=${address[$1]##*:}" "$binaries/payments") ;;
    *) command=("$binaries/$1") ;;
  esac
}

# shellcheck disable=SC2016 # the inner shell expands it
accepts() { timeout 2 bash -c 'exec 3<>"/dev/tcp/${0%:*}/${0##*:}"' "${address[$1]}" 2>/dev/null; }
answers() { curl -fs -o /dev/null --noproxy '*' --max-time 2 "http://${address[$1]}$2" 2>/dev/null; }
is_ready() {
  case $1 in
    local_broker) accepts "$1" ;;
    simulated_gateway) answers "$1" /healthz ;;
    *) answers "$1" /readyz ;;
  esac
}

check_ports() {
  local name taken=0
  for name in "${names[@]}"; do
    accepts "$name" || continue
    printf 'develop_local.sh: %s is taken, and %s needs it: stop what listens there, or set %s to move %s.\n' \
      "${address[$name]}" "$name" "${setting[$name]}" "${name%-*}" >&2
    taken=1
  done
  [ "$taken" = 0 ] || exit 1
}

# --- runserver: keeping it running --------------------------------------------------------------------------------

declare -A pid       # of the running process; empty while it waits to be started again
declare -A follower  # the process that shows its log
declare -A was_ready # set once it has been
declare -A restarts  # when it was started again, in the shell's SECONDS
declare -A due       # when it is to be started again
last_words_of=       # whose death ends it all
readonly restart_window_seconds=60 longest_pause_seconds=16

log_of() { printf '.local/logs/%s.log' "$1"; }

# The name before a line, aligned; on a terminal in the colour $2.
prefix() {
  local text
  printf -v text '%-17s | ' "$1"
  if [ -n "$coloured" ]; then text=$'\e['"$2m$text"$'\e[0m'; fi
  printf '%s' "$text"
}
say() { printf '%s%s\n' "$(prefix runserver 1)" "$*"; }

# Starts the process in a session of its own, so that the terminal's Ctrl-C and hang-up reach only this script, which
# then stops everything in order; were this script killed, the kernel would send each process its SIGTERM. What it
# prints goes to its log, and from there, line by line, to the terminal: a slow terminal holds nothing up.
start() {
  local name=$1 log from command
  log=$(log_of "$name")
  mkdir -p .local/logs
  touch "$log"
  from=$(($(wc -c <"$log") + 1))
  command_of "$name"
  setsid setpriv --pdeathsig TERM "${command[@]}" >>"$log" 2>&1 </dev/null &
  pid[$name]=$!
  setsid tail -c "+$from" -s 0.2 --pid "${pid[$name]}" -f "$log" 2>/dev/null |
    setsid stdbuf -oL sed "s/^/$(prefix "$name" "${colour[$name]}")/" &
  follower[$name]=$!
}

# Without what bash itself would say here of a process that was killed: handle_death says it better.
rest() { sleep 0.2; } 2>/dev/null

alive() { [ -n "${pid[$1]:-}" ] && kill -0 "${pid[$1]}" 2>/dev/null; }

# Collects the ended process's status, and ends what it may have started itself.
reap() {
  local status=0
  wait "${pid[$1]}" 2>/dev/null || status=$?
  kill -KILL -- "-${pid[$1]}" 2>/dev/null || true
  pid[$1]=
  return "$status"
}

give_up() {
  last_words_of=$1
  say "$2" >&2
  exit 1
}

handle_death() {
  local name=$1 status=0 at recent=() ended pause
  reap "$name" || status=$?
  ended="$name ended with exit status $status"
  if [ "$status" -gt 128 ]; then ended+=" ($(kill -l "$status" 2>/dev/null || printf 'unknown signal'))"; fi
  [ -n "${was_ready[$name]:-}" ] || give_up "$name" "$ended before it was ready: everything stops."
  for at in ${restarts[$name]:-}; do
    if ((SECONDS - at < restart_window_seconds)); then recent+=("$at"); fi
  done
  if ((${#recent[@]} >= RUNSERVER_RESTARTS)); then
    give_up "$name" "$ended after ${#recent[@]} restarts within $restart_window_seconds s: everything stops."
  fi
  pause=$((${#recent[@]} < 4 ? 1 << ${#recent[@]} : longest_pause_seconds))
  due[$name]=$((SECONDS + pause))
  restarts[$name]="${recent[*]} ${due[$name]}"
  say "$ended: starting it again in $pause s, restart $((${#recent[@]} + 1)) of $RUNSERVER_RESTARTS" >&2
}

look_after_all() {
  local name
  for name in "${!pid[@]}"; do
    if [ -z "${pid[$name]}" ]; then
      if ((SECONDS >= due[$name])); then start "$name"; fi
    elif ! alive "$name"; then
      handle_death "$name"
    fi
  done
}

start_and_await() {
  local name=$1 deadline=$((SECONDS + RUNSERVER_READY_SECONDS))
  start "$name"
  until is_ready "$name" && alive "$name"; do
    look_after_all
    ((SECONDS < deadline)) ||
      give_up "$name" "$name was not ready within $RUNSERVER_READY_SECONDS s at ${address[$name]}: everything stops."
    rest
  done
  was_ready[$name]=yes
  say "$name is ready at ${address[$name]}"
}

stop() {
  local name=$1 since=$SECONDS
  [ -n "${pid[$name]:-}" ] || return 0
  kill -TERM "${pid[$name]}" 2>/dev/null
  while alive "$name" && ((SECONDS - since < RUNSERVER_STOP_SECONDS)); do rest; done
  if alive "$name"; then
    say "$name did not stop in time: killed"
    kill -KILL "${pid[$name]}"
  fi
  reap "$name"
}

# Runs whenever the script ends, whatever ended it; nothing may cut it short, not even a terminal that has gone.
stop_all() {
  local status=$? i service
  set +e
  trap '' TERM HUP PIPE
  trap 'RUNSERVER_STOP_SECONDS=0' INT
  say "stopping everything; Ctrl-C again kills at once"
  for ((i = ${#names[@]} - 1; i >= 0; i--)); do stop "${names[i]}"; done
  # The followers end by themselves once they have shown the last line, unless nobody reads it.
  for ((i = 0; i < 10; i++)); do
    kill -0 "${follower[@]}" 2>/dev/null || break
    rest
  done
  kill -KILL "${follower[@]}" 2>/dev/null
  for service in "${started[@]}"; do bash scripts/services.sh stop "$service"; done
  if [ -n "$last_words_of" ]; then
    say "the last words of $last_words_of ($(log_of "$last_words_of")):" >&2
    tail -n 20 "$(log_of "$last_words_of")" >&2
  fi
  say stopped
  exit "$status"
}

show_addresses() {
  local claims="http://${address[claim_process]}/v1/claims"
  printf '\nReady. Try:\n\n'
  printf "  curl -s -H 'content-type: text/csv' --data-binary @scripts/claim_1234.csv %s\n" "$claims"
  printf '  curl -s %s/<the id in the answer>\n' "$claims"
  if [ "$payments" -gt 0 ]; then
    printf '  curl -s http://%s/v1/ledger/audit\n' "${address[payments-1]}"
  else
    printf '  (no payments was started: claims stay submitted until one is)\n'
  fi
  printf '\nLogs are in .local/logs. Ctrl-C stops everything.\n\n'
}

runserver() {
  local name profile=debug build=(cargo build --workspace --bins)
  payments=1
  servers=() # that are to be real: postgres, kafka
  started=() # of these, the ones that did not run before
  while [ $# -gt 0 ]; do
    case $1 in
      --release) profile=release build+=(--release) ;;
      --postgres | --kafka) servers+=("${1#--}") ;;
      --payments)
        [ $# -gt 1 ] || misused "--payments needs a number, as in --payments 2."
        payments=$2
        whole_number payments --payments 0 32
        shift
        ;;
      -h | --help) usage && exit ;;
      *) misused "runserver does not know '$1': there are --release, --postgres, --kafka and --payments N." ;;
    esac
    shift
  done
  plan
  bootstrap
  check_ports
  setpriv --pdeathsig TERM "${build[@]}"
  binaries=${CARGO_TARGET_DIR:-target}/$profile

  mkdir -p .local/logs
  for name in "${names[@]}"; do : >"$(log_of "$name")"; done
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
  trap stop_all EXIT
  start_servers
  for name in "${names[@]}"; do start_and_await "$name"; done
  show_addresses
  while true; do
    look_after_all
    rest
  done
}

# --- docker and dockercompose -------------------------------------------------------------------------------------

# shellcheck source=scripts/container_engine.sh
use_containers() {
  . scripts/container_engine.sh
  find_engine
}

# refuse_taken HOST:PORT WHO HOW-TO-MOVE-IT
refuse_taken() {
  address[asked]=$1
  ! accepts asked || fail "$1 is taken, and $2 needs it: stop what listens there$3."
}

# take_prebuilt --prebuilt DIRECTORY: for the images' binaries; sets the caller's suffix.
take_prebuilt() {
  [ $# -gt 1 ] || misused "--prebuilt needs the directory of the binaries, as in --prebuilt target/release."
  prebuilt=$2 suffix=_prebuilt
}

run_docker() {
  local suffix='' port
  use_containers
  while [ $# -gt 0 ]; do
    case $1 in
      --prebuilt) take_prebuilt "$@" && shift ;;
      -h | --help) usage && exit ;;
      *) misused "docker does not know '$1': there is --prebuilt DIRECTORY." ;;
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

# The value that the env file or the environment gives $1, or $2.
env_of_compose() {
  local value=${!1:-}
  [ -n "$value" ] || value=$(sed -n "s/^$1=//p" "$env_file" | tail -n 1)
  printf '%s\n' "${value:-$2}"
}

run_dockercompose() {
  local service suffix='' port until instances=1
  use_containers
  find_compose
  env_file=.local/compose.env
  if [ ! -e "$env_file" ] && "$engine" volume inspect claims-to-payments_postgres_data >/dev/null 2>&1; then
    # Its passwords are needed to start it, not to stop it.
    [[ ${1:-} == [a-z]* ]] ||
      fail "the database of an earlier stack is here, and its passwords in $env_file are not: bring that file back, or remove the database, with all that is in it, by 'bash develop_local.sh dockercompose down --volumes'."
    env_file=.local/compose.env.unknown
    make_env_file "$env_file"
  elif [ ! -e "$env_file" ]; then
    make_env_file "$env_file"
    printf 'develop_local.sh: made passwords in %s; they belong to the volumes of this stack, so keep it as long as them.\n' "$env_file"
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
      --help) usage && exit ;;
      *) misused "dockercompose does not know '$1': there are --prebuilt DIRECTORY and --payments N, and compose's own commands." ;;
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
  address[claim_process]=127.0.0.1:$(env_of_compose CLAIMS_PORT 8000)
  until=$((SECONDS + 180))
  printf 'develop_local.sh: waiting until claim_process is ready\n'
  until is_ready claim_process; do
    ((SECONDS < until)) || {
      "${compose[@]}" ps
      "${compose[@]}" logs --tail 1
      fail "claim_process is not ready after 180 s; the last lines above say why. 'bash develop_local.sh dockercompose down' stops everything."
    }
    sleep 1
  done
  printf '\nReady. Try:\n\n'
  printf "  curl -s -H 'content-type: text/csv' --data-binary @scripts/claim_1234.csv http://%s/v1/claims\n" "${address[claim_process]}"
  port=$("${compose[@]}" port payments 8001 2>/dev/null | tail -n 1)
  [ -z "$port" ] || printf '  curl -s http://127.0.0.1:%s/v1/ledger/audit\n' "${port##*:}"
  printf '\nbash develop_local.sh dockercompose logs -f    shows what they say\n'
  printf 'bash develop_local.sh dockercompose down       stops everything and keeps the data\n'
}

case ${1:-} in
  runserver) shift && runserver "$@" ;;
  test) shift && run_tests "$@" ;;
  docker) shift && run_docker "$@" ;;
  dockercompose) shift && run_dockercompose "$@" ;;
  '' | -h | --help | help) usage ;;
  *) misused "there is no '$1': there are runserver, test, docker and dockercompose; --help says more." ;;
esac
