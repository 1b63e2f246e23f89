#!/usr/bin/env bash
# Tests the images and docker-compose.yml with docker or podman: builds and runs them, kills containers, and audits the books.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
usage: bash scripts/check_containers.sh [--binaries DIRECTORY | --from-sources] [--offline-base] [--part PART]... [--claims N]

--binaries DIRECTORY  the binaries for the images (target/release); they must run on Debian 12
--from-sources        builds them in the images instead
--offline-base        without a registry: makes the base image with debootstrap, and replacements for PostgreSQL's and Kafka's
                      images from deploy/stand_ins, under the names of the real ones; they are removed at the end
--part PART           files, images, all_in_one or stack; default: all of them
--claims N            claims sent while containers are killed (240)

It can run beside a running stack, because it has its own ports, images, volumes and passwords. It needs python3 and curl, and with
--offline-base the packages that 'bash bootstrap.sh podman kafka' installs.
END
}

fail() { printf 'check_containers.sh: FAILED: %s\n' "$*" >&2; exit 1; }
log() { printf '%s check_containers.sh: %s\n' "$(date +%T)" "$*"; }
# shellcheck source=scripts/container_engine.sh
. scripts/container_engine.sh

binaries=target/release suffix=_prebuilt offline='' parts=() claims=240
while [ $# -gt 0 ]; do
  case $1 in
    --binaries) binaries=${2:?--binaries needs a directory} && shift ;;
    --from-sources) suffix='' ;;
    --offline-base) offline=yes ;;
    --part) parts+=("${2:?--part needs a name}") && shift ;;
    --claims) claims=${2:?--claims needs a number} && shift ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(files images all_in_one stack)
for part in "${parts[@]}"; do
  case $part in
    files | images | all_in_one | stack) ;;
    *) usage >&2 && exit 2 ;;
  esac
done
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

readonly tag=check project=claims-to-payments-check place=$PWD/.local/check
readonly base=docker.io/library/debian:bookworm-slim
readonly claims_port=28000 gateway_port=28090 aio_claims=28100 aio_payments=28101 aio_gateway=28190
readonly claims_url=http://127.0.0.1:$claims_port gateway_url=http://127.0.0.1:$gateway_port
mkdir -p "$place"
find_engine
compose=() made_images=() # the newest first, so that dependent images are removed first
: >"$place/removed.log"

# Drops podman's warnings on machines without systemd, which would time health checks.
exec 2> >(grep --line-buffered -v systemd >&2)

# Lists the containers, volumes and networks of this check, including those of an earlier, interrupted run.
leftovers() {
  local kind
  "$engine" ps --all --format '{{.Names}}' | sed -nE "s/^((${project}[_-]|check-(all-in-one|single)$).*)/container \1/p"
  for kind in volume network; do
    "$engine" "$kind" ls --format '{{.Name}}' | sed -nE "s/^((${project}_|check-all-in-one$).*)/$kind \1/p"
  done
}

# Removes them all. An engine may refuse while it restarts a container, so this retries.
remove_leftovers() {
  local attempt kind name
  for attempt in 1 2 3 4 5; do
    while read -r kind name; do
      if [ "$kind" = container ]; then
        "$engine" rm --force --volumes "$name"
      else
        "$engine" "$kind" rm --force "$name"
      fi
    done < <(leftovers) >>"$place/removed.log" 2>&1 || true
    [ -n "$(leftovers)" ] || return 0
    sleep "$attempt"
  done
  printf 'check_containers.sh: these cannot be removed: %s; see %s\n' "$(leftovers | paste -sd,)" "$place/removed.log" >&2
  return 1
}

clean_up() {
  local status=$? image
  set +e
  log "cleaning up"
  remove_leftovers || status=1
  for image in "${made_images[@]}"; do
    "$engine" rmi --force "$image" >>"$place/removed.log" 2>&1 || log "the image $image cannot be removed: $(tail -n 1 "$place/removed.log")"
  done
  [ "$status" != 0 ] || log "all checks passed: ${parts[*]}"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
remove_leftovers

# await WHAT SECONDS COMMAND...
await() {
  local what=$1 until=$((SECONDS + $2))
  shift 2
  until "$@" >"$place/await.log" 2>&1; do
    ((SECONDS < until)) || fail "timed out: $what; last output: $(tail -n 1 "$place/await.log")"
    sleep 0.5
  done
}

# --- without a registry -------------------------------------------------------------------------------------------

# Whether an image of this name exists that is not a replacement made by an earlier check.
is_real() { [[ "$("$engine" image inspect --format '{{.Config.Labels}}' "$1" 2>/dev/null || echo stand-in)" != *stand-in* ]]; }

make_base() {
  local root=$place/root
  if ! is_real "$base"; then
    log "making $base with debootstrap"
    rm -rf "$root"
    debootstrap --variant=minbase bookworm "$root" >"$place/debootstrap.log" 2>&1 ||
      fail "debootstrap failed; see $place/debootstrap.log."
    tar -C "$root" -c . | "$engine" import --change 'CMD ["bash"]' --change 'LABEL stand-in=yes' - "$base" >/dev/null 2>&1 || fail "the base image could not be created."
    rm -rf "$root"
    made_images=("$base" "${made_images[@]}")
  fi
  # Some kernels refuse podman's default limits, and crun cannot use their cgroups.
  if [ "${engine##*/}" = podman ] && ! podman run --rm "$base" true >/dev/null 2>&1; then
    printf '[containers]\ndefault_ulimits = ["nofile=16384:16384","nproc=8192:8192"]\n[engine]\nruntime = "runc"\n' >"$place/containers.conf"
    export CONTAINERS_CONF=$place/containers.conf
    podman run --rm "$base" true || fail "podman cannot run a container here; see the errors above."
  fi
}

make_stand_ins() {
  local image server
  mkdir -p "$place/stand_ins"
  cp deploy/stand_ins/*.sh deploy/kafka/log4j2.properties "$place/stand_ins/"
  for server in postgres kafka; do
    image=$(sed -nE "s|^    image: (docker.io/.*$server:.*)|\1|p" docker-compose.yml)
    ! is_real "$image" || continue
    log "making a replacement for $image"
    if [ "$server" = kafka ] && [ ! -d "$place/stand_ins/libs" ]; then
      timeout 600 mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$place/stand_ins/libs" >"$place/maven.log" 2>&1 ||
        fail "Kafka's jars could not be fetched; see $place/maven.log."
    fi
    "$engine" build --quiet --network host --file "deploy/stand_ins/$server.Dockerfile" --tag "$image" "$place/stand_ins" \
      >"$place/$server.log" 2>&1 || fail "the replacement could not be built; see $place/$server.log."
    made_images=("$image" "${made_images[@]}")
  done
}

# --- files --------------------------------------------------------------------------------------------------------

check_files() {
  local line
  log "checking the files"
  while read -r line; do
    [[ $line == *:?* && $line != *:latest* ]] || fail "an image without a fixed version: $line"
  done < <(sed -nE 's/^ *image: //p; s/^ARG (DEBIAN|RUST)=//p; s/^FROM (docker.io.*)/\1/p' docker-compose.yml deploy/Dockerfile \
    deploy/stand_ins/*.Dockerfile)
  ! "${without_passwords[@]}" config >/dev/null 2>"$place/refused" || fail "docker-compose.yml starts without passwords."
  grep -q 'PASSWORD.*deploy/compose.env.example' "$place/refused" ||
    fail "without passwords compose does not name the remedy: $(cat "$place/refused")"
  "${compose[@]}" config >"$place/config.yml" 2>"$place/config.log" ||
    fail "compose cannot read docker-compose.yml: $(cat "$place/config.log")"
  # Docker's compose validates files against the schema; podman-compose does not.
  if [ "${engine##*/}" = podman ]; then
    if "$(dirname "${compose[0]}")/python" -c 'import jsonschema, compose, yaml' 2>/dev/null; then
      "$(dirname "${compose[0]}")/python" - "$place/config.yml" <<'END' || fail "docker-compose.yml does not match its schema."
import importlib.resources, json, sys
import jsonschema, yaml
schema = json.loads(importlib.resources.files("compose").joinpath("config/compose_spec.json").read_text())
read = yaml.safe_load(open(sys.argv[1]))
read.pop("name")  # the schema is older than this
errors = list(jsonschema.Draft7Validator(schema).iter_errors(read))
for error in errors:
    print(list(error.path), error.message)
sys.exit(bool(errors))
END
    else
      log "the schema was skipped: 'bash bootstrap.sh podman' installs it"
    fi
  fi
  python3 - "$place/config.yml" <<'END' || fail "docker-compose.yml lacks something; see above."
import re, sys
text = open(sys.argv[1]).read()
services = re.split(r"(?m)^  (?=\w+:$)", re.search(r"(?ms)^services:\n(.*?)(?=^\w)", text).group(1))[1:]
assert len(services) == 5, len(services)
for service in services:
    name = service.split(":")[0]
    for wanted in ("cap_drop", "no-new-privileges", "restart: on-failure:10", "mem_limit", "healthcheck", "pids_limit"):
        assert wanted in service, f"{name} lacks {wanted}"
    assert "container_name" not in service, f"{name} has a container_name"
    for port in re.findall(r"(?m)^    - .*:\d+$", service) + re.findall(r"host_ip: (.*)", service):
        assert "127.0.0.1" in port, f"{name} is published beyond loopback: {port}"
END
}

# --- images -------------------------------------------------------------------------------------------------------

build_images() {
  local image
  log "building the images ${suffix:+from the binaries in $binaries}"
  [ -z "$suffix" ] || stage_binaries "$binaries"
  for image in "${services[@]}" all_in_one; do
    build_image "$image" "$tag" "$suffix" ${offline:+--network host} >"$place/build-$image.log" 2>&1 ||
      fail "the image $image could not be built; see $place/build-$image.log: $(tail -n 3 "$place/build-$image.log")"
    made_images=("claims-to-payments/$image:$tag" "${made_images[@]}")
  done
}

check_images() {
  local image name size base_size user found password
  base_size=$("$engine" image inspect --format '{{.Size}}' "$base")
  for name in "${services[@]}" all_in_one; do
    image=claims-to-payments/$name:$tag
    size=$((($("$engine" image inspect --format '{{.Size}}' "$image") - base_size) / 1000000))
    user=$("$engine" image inspect --format '{{.Config.User}}' "$image")
    log "$name: $size MB beyond its base of $((base_size / 1000000)) MB, user $user"
    [ "$name" = all_in_one ] || ((size < 60)) || fail "$image has $size MB beyond its base, and 60 MB is the limit."
    [[ $user =~ ^[1-9][0-9]*: ]] || fail "$image runs as '$user': it must be a number other than 0."
    [ "$("$engine" run --rm --entrypoint id "$image" -u)" = 10001 ] || fail "$image does not run as 10001."
    "$engine" image inspect "$image" | grep -i healthcheck >/dev/null || fail "$image has no health check."
    { "$engine" history --no-trunc "$image" && "$engine" image inspect "$image"; } >"$place/history"
    ! grep -iE '(password|secret|token)[A-Z_]*=' "$place/history" || fail "the history of $image seems to contain a secret."
  done
  # No layer may contain the passwords of the stack or files beside the sources.
  "$engine" save --output "$place/image.tar" "claims-to-payments/all_in_one:$tag" >/dev/null 2>&1
  while IFS='=' read -r found password; do
    [[ $found != *PASSWORD ]] || ! grep -qaF "$password" "$place/image.tar" || fail "$found is in a layer."
  done <"$place/compose.env"
  ! grep -qaF compose.env "$place/image.tar" || fail "an env file is in a layer."
  rm -f "$place/image.tar"
  log "no secret in a layer or in the history"
}

# --- claims -------------------------------------------------------------------------------------------------------

# Posts the real claim to the service at $1, waits until it is settled, and appends it to the file $2.
settle_the_real_claim() {
  local id
  id=$(curl -fsS --noproxy '*' -H 'content-type: text/csv' --data-binary @scripts/claim_1234.csv "$1/v1/claims" |
    sed -E 's/^\{"id": ?"([^"]*)".*/\1/')
  await "the real claim's settlement" 60 is_settled "$1/v1/claims/$id"
  printf '%s settled\n' "$id" >>"$2"
  log "the real claim is settled: 116.85"
}
is_settled() { curl -fsS --noproxy '*' "$1" | grep -E '"status": ?"settled"' | grep -qE '"amount": ?"116.85"'; }

# Stops the container $1 within the ten seconds that an engine allows, and sets stopped_ms.
stop_cleanly() {
  local since code
  since=$(date +%s%N)
  "$engine" stop --time 10 "$1" >/dev/null 2>&1
  stopped_ms=$((($(date +%s%N) - since) / 1000000))
  code=$("$engine" inspect --format '{{.State.ExitCode}}' "$1")
  [ "$code" = 0 ] || fail "exit code $code after $stopped_ms ms instead of a clean stop: $("$engine" logs --tail 5 "$1")"
}

# check_last_line EXPECTED ARGUMENT...: runs a container that must end by itself with EXPECTED in its last log line.
check_last_line() {
  local expected=$1 status=0 last
  shift
  timeout 120 "$engine" run --rm --name check-single --read-only --cap-drop all "$@" >"$place/single.log" 2>&1 || status=$?
  last=$(grep -v systemd "$place/single.log" | grep . | tail -n 1)
  if [ "$status" = 0 ] || [[ $last != *"$expected"* ]]; then
    fail "expected a failure with '$expected' in the last line; exit code $status, last line: $last"
  fi
  log "last line: $last"
}
has_last_line() { "$engine" logs --tail 1 "$1" 2>&1 | grep -F "$2"; }

# --- everything in one --------------------------------------------------------------------------------------------

start_all_in_one() {
  "$engine" run --detach --name check-all-in-one --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \
    --memory 1g --pids-limit 2048 --volume check-all-in-one:/data --publish "127.0.0.1:$aio_claims:8000" \
    --publish "127.0.0.1:$aio_payments:8001" --publish "127.0.0.1:$aio_gateway:8090" "claims-to-payments/all_in_one:$tag" >/dev/null
  await "the all-in-one container" 90 "$engine" exec check-all-in-one launcher health
}

check_all_in_one() {
  local sent=$place/all-in-one.claims zombies not_json sender stopped_ms
  log "everything in one container"
  rm -f "$sent"
  start_all_in_one
  # shellcheck disable=SC2016 # the shell inside expands it
  "$engine" exec check-all-in-one bash -c '! touch /usr/local/bin/x 2>/dev/null && grep -q "^CapEff:.0000000000000000" /proc/1/status && [ $(id -u) = 10001 ]' ||
    fail "its root is writable, it has capabilities, or it runs as another user."
  settle_the_real_claim "http://127.0.0.1:$aio_claims" "$sent"
  log "killing a process in it, and leaving an orphan"
  # shellcheck disable=SC2016
  "$engine" exec check-all-in-one bash -c '(sleep 0.2 &) ; for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" != payments ] || kill -KILL ${p#/proc/}; done'
  python3 scripts/check_claims.py send "http://127.0.0.1:$aio_claims" 24 4 "$sent"
  await "payments, which was killed" 60 "$engine" exec check-all-in-one launcher health
  "$engine" logs check-all-in-one 2>&1 | grep 'payments ended with exit status 137' >/dev/null || fail "payments was not killed."
  zombies=$("$engine" exec check-all-in-one bash -c 'grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l')
  [ "$zombies" = 0 ] || fail "process 1 leaves $zombies zombies."
  log "stopping it while claims are sent"
  python3 scripts/check_claims.py send "http://127.0.0.1:$aio_claims" 40 6 "$sent" >"$place/sender.log" 2>&1 &
  sender=$!
  sleep 3
  stop_cleanly check-all-in-one
  log "it stopped in $stopped_ms ms, exit code 0"
  ! "$engine" logs check-all-in-one 2>&1 | grep 'did not stop in time' || fail "a process in it had to be killed."
  "$engine" rm check-all-in-one >/dev/null 2>&1
  start_all_in_one
  wait "$sender" || fail "claims sent meanwhile were not accepted: $(tail -n 1 "$place/sender.log")"
  python3 scripts/check_claims.py audit "http://127.0.0.1:$aio_claims" "http://127.0.0.1:$aio_payments" \
    "http://127.0.0.1:$aio_gateway" "$sent" 180
  not_json=$("$engine" logs check-all-in-one 2>/dev/null | grep -vc '^{' || true)
  [ "$not_json" = 0 ] || fail "$not_json lines of its log are not JSON."
  log "checking the last log lines of failing containers"
  check_last_line "port 8000 on 0.0.0.0 is in use" --network container:check-all-in-one "claims-to-payments/claim_process:$tag"
  "$engine" rm --force --time 10 check-all-in-one >/dev/null 2>&1
}

# --- the stack ----------------------------------------------------------------------------------------------------

container_id() { "$engine" ps --all --quiet --filter "name=^${project}[_-]$1[_-]${2:-1}\$"; }

healthy() {
  local id
  id=$(container_id "$@")
  [ -n "$id" ] || { echo "there is no container for $*" && return 1; }
  if [ "${engine##*/}" = podman ]; then
    podman healthcheck run "$id" || { podman logs --tail 1 "$id" && return 1; }
  else
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$id")" = healthy ] || { docker logs --tail 1 "$id" && return 1; }
  fi
}

# Kills the container's process as a crash would. If its process id is not visible here, the engine kills it; then the engine does
# not restart it by itself.
kill_container() {
  local id pid
  id=$(container_id "$@")
  pid=$("$engine" inspect --format '{{.State.Pid}}' "$id")
  if [ "$(id -u)" = 0 ] && [ -d "/proc/$pid" ] && grep -q "$id" "/proc/$pid/cgroup" 2>/dev/null && kill -KILL "$pid" 2>/dev/null; then
    log "killed $1 ${2:-1}: its restart policy must restart it"
  else
    "$engine" kill --signal KILL "$id" >/dev/null
    sleep 1
    "$engine" start "$id" >/dev/null
    log "killed $1 ${2:-1}, and restarted it by hand"
  fi
}

payments_url() { printf 'http://%s\n' "$("$engine" port "$(container_id payments)" 8001 | head -n 1)"; }

await_stack() {
  local service
  for service in postgres kafka simulated_gateway claim_process payments; do await "$service is healthy" 180 healthy "$service"; done
}

check_stack() {
  local sent=$place/stack.claims victim network since sender stopped_ms
  rm -f "$sent"
  log "starting the stack with new passwords"
  since=$SECONDS
  "${compose[@]}" up -d --no-build >"$place/up.log" 2>&1 || fail "it does not start: $(tail -n 3 "$place/up.log")"
  await_stack
  log "all five are healthy after $((SECONDS - since)) s"
  settle_the_real_claim "$claims_url" "$sent"

  "${compose[@]}" up -d --no-build --no-recreate --scale payments=3 >"$place/scale.log" 2>&1 ||
    fail "payments cannot be scaled: $(tail -n 3 "$place/scale.log")"
  for victim in 1 2 3; do await "payments $victim is healthy" 120 healthy payments "$victim"; done
  log "three payments are healthy"
  for victim in claim_process payments simulated_gateway; do
    [ "$("$engine" exec "$(container_id "$victim")" id -u)" = 10001 ] || fail "$victim runs as another user."
    ! "$engine" exec "$(container_id "$victim")" touch /usr/x 2>/dev/null || fail "$victim can write to its root."
  done
  for victim in postgres kafka claim_process payments simulated_gateway; do
    "$engine" exec "$(container_id "$victim")" grep -q '^CapEff:.0000000000000000' /proc/1/status || fail "$victim has capabilities."
    "$engine" exec "$(container_id "$victim")" grep -q '^NoNewPrivs:.1' /proc/1/status || fail "$victim may gain privileges."
  done

  log "$claims claims over 75 s, while each container is killed once"
  python3 scripts/check_claims.py send "$claims_url" "$claims" 75 "$sent" >"$place/sender.log" 2>&1 &
  sender=$!
  sleep 5
  for victim in "payments 2" claim_process simulated_gateway kafka postgres "payments 3"; do
    # shellcheck disable=SC2086 # a service and perhaps its number
    kill_container $victim
    sleep 10
    # shellcheck disable=SC2086
    await "$victim is healthy again" 120 healthy $victim
  done
  wait "$sender" || fail "not every claim was accepted: $(tail -n 1 "$place/sender.log")"
  await_stack
  python3 scripts/check_claims.py audit "$claims_url" "$(payments_url)" "$gateway_url" "$sent" 240

  for victim in claim_process payments simulated_gateway; do
    stop_cleanly "$(container_id "$victim")"
    log "$victim stopped in $stopped_ms ms, exit code 0"
  done

  log "stopping the stack, and starting it again with its volumes"
  since=$(date +%s%N)
  compose_down "$project" >"$place/down.log" 2>&1 || fail "it does not stop: $(tail -n 3 "$place/down.log")"
  log "down after $((($(date +%s%N) - since) / 1000000)) ms"
  [ -z "$("$engine" ps --all --quiet --filter "name=^${project}[_-]")" ] || fail "containers are left."
  "${compose[@]}" up -d --no-build >"$place/up.log" 2>&1 || fail "it does not start again: $(tail -n 3 "$place/up.log")"
  await_stack
  python3 scripts/check_claims.py audit "$claims_url" "$(payments_url)" "$gateway_url" "$sent" 120
  settle_the_real_claim "$claims_url" "$sent"

  log "checking the last log lines of failing containers"
  network=${project}_inside
  check_last_line "password authentication failed" --network "$network" --env CLAIM_PROCESS__DATABASE__START_TIMEOUT_MS=2000 \
    --env CLAIM_PROCESS__DATABASE__URL=postgres://claims:wrong@postgres:5432/claims "claims-to-payments/claim_process:$tag"
  "$engine" run --detach --name check-single --network "$network" --env PAYMENTS__GATEWAY__URL=http://simulated_gateway:8090 \
    --env PAYMENTS__KAFKA__BROKERS=simulated_gateway:9999 "claims-to-payments/payments:$tag" >/dev/null
  await "payments reports that Kafka does not answer" 60 has_last_line check-single 'the Kafka brokers do not answer'
  log "last line: $("$engine" logs --tail 1 check-single)"
  "$engine" rm --force check-single >/dev/null
  "$engine" exec "$(container_id postgres)" \
    psql -qU postgres claims -c "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')"
  kill_container claim_process
  await "claim_process reports that its volume is newer" 60 has_last_line "$(container_id claim_process)" 'newer version of this program'
  log "last line: $("$engine" logs --tail 1 "$(container_id claim_process)")"
}

# ------------------------------------------------------------------------------------------------------------------

if wanted files || wanted images || wanted stack; then
  find_compose
  make_env_file "$place/compose.env" "CLAIMS_PORT=$claims_port" "GATEWAY_PORT=$gateway_port" "IMAGE_TAG=$tag" \
    "PAYMENTS_PORTS=$([ "${engine##*/}" = podman ] && echo 127.0.0.1::8001 || echo 127.0.0.1:28001-28016:8001)"
  compose+=(-f "$PWD/docker-compose.yml" -p "$project")
  without_passwords=("${compose[@]}" --env-file deploy/compose.env.example)
  compose+=(--env-file "$place/compose.env")
fi
! wanted files || check_files
if wanted images || wanted all_in_one || wanted stack; then
  [ -z "$offline" ] || make_base
  build_images
fi
! wanted images || check_images
! wanted all_in_one || check_all_in_one
if wanted stack; then
  [ -z "$offline" ] || make_stand_ins
  check_stack
fi
