#!/usr/bin/env bash
# Runs everything in one container: the embedded broker, the simulated gateway, claim_process and payments. It starts them in
# order, starts again what dies, and stops them in order within a container's ten seconds. Process 1 is tini, which reaps.
# With the argument `health` it says whether both services are ready.
set -uo pipefail

readonly names=(local_broker simulated_gateway claim_process payments)
readonly start_seconds=60 # for each to be ready
readonly stop_seconds=8   # for all together; those that are still there are killed
readonly most_restarts=5 within_seconds=60

# As the services say it: a line of JSON.
say() { printf '{"timestamp":"%s","level":"%s","message":"%s","process":"all_in_one"}\n' "$(date -u +%FT%TZ)" "$1" "$2"; }

ready() {
  case $1 in
    local_broker) (exec 3<>/dev/tcp/127.0.0.1/9092) 2>/dev/null ;;
    *) "$1" health --ready >/dev/null 2>&1 ;;
  esac
}

if [ "${1:-}" = health ]; then
  claim_process health --ready && payments health --ready
  exit
fi

declare -A pid restarts due
stopping=

start() {
  case $1 in
    local_broker) "$1" </dev/null > >(while read -r line; do say INFO "$line"; done) 2>&1 & ;;
    *) "$1" </dev/null & ;;
  esac
  pid[$1]=$!
}
alive() { [ -n "${pid[$1]:-}" ] && kill -0 "${pid[$1]}" 2>/dev/null; }

# Waits while a signal can come through.
pause() { sleep "$1" & wait $! 2>/dev/null; }

# Stops processes together, until the time $1.
stop() {
  local name until=$1
  shift
  for name in "$@"; do alive "$name" && kill -TERM "${pid[$name]}"; done
  for name in "$@"; do
    [ -n "${pid[$name]:-}" ] || continue
    while alive "$name" && ((SECONDS < until)); do sleep 0.1; done
    if alive "$name"; then
      say ERROR "$name did not stop within $stop_seconds s: killed"
      kill -KILL "${pid[$name]}"
    fi
    wait "${pid[$name]}" 2>/dev/null
  done
}

# The services first: they still say what they have to say to the broker.
end() {
  local until=$((SECONDS + stop_seconds))
  trap '' TERM INT
  say INFO "stopping"
  stop "$until" claim_process payments
  stop "$until" simulated_gateway
  stop "$until" local_broker
  say "$2" "$3"
  exit "$1"
}

# What ended is started again after a pause that doubles, and not more than a few times within a minute.
look_after() {
  local name=$1 status=0 at recent=() seconds
  if [ -n "${due[$name]:-}" ]; then
    if ((SECONDS >= due[$name])); then
      due[$name]=
      start "$name"
    fi
    return
  fi
  alive "$name" && return
  wait "${pid[$name]}" 2>/dev/null || status=$?
  for at in ${restarts[$name]:-}; do ((SECONDS - at < within_seconds)) && recent+=("$at"); done
  if ((${#recent[@]} >= most_restarts)); then
    end 1 ERROR "$name ended with exit status $status after ${#recent[@]} restarts within $within_seconds s: its last words above say why; everything stops"
  fi
  seconds=$((1 << ${#recent[@]}))
  due[$name]=$((SECONDS + seconds))
  restarts[$name]="${recent[*]} $SECONDS"
  say WARN "$name ended with exit status $status: it is started again in $seconds s"
}

trap 'stopping=yes' TERM INT
for name in "${names[@]}"; do
  start "$name"
  until=$((SECONDS + start_seconds))
  until ready "$name"; do
    [ -z "$stopping" ] || end 0 INFO stopped
    if ! alive "$name"; then
      wait "${pid[$name]}"
      end 1 ERROR "$name ended with exit status $? before it was ready: its last words above say why; everything stops"
    fi
    ((SECONDS < until)) || end 1 ERROR "$name was not ready within $start_seconds s: its log above says why; everything stops"
    pause 0.2
  done
  say INFO "$name is ready"
done
say INFO "everything is ready: claims are taken at port 8000"
until [ -n "$stopping" ]; do
  for name in "${names[@]}"; do look_after "$name"; done
  pause 0.5
done
end 0 INFO stopped
