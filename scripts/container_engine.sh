# shellcheck shell=bash
# Finds docker or podman and its compose command. Sourced by other scripts, which define `fail`.
# find_engine sets `engine` (docker or podman), find_compose sets `compose`.

readonly images_version=0.1.0
readonly services=(claim_process payments simulated_gateway)

find_engine() {
  engine=${CONTAINER_ENGINE:-}
  if [ -n "$engine" ]; then
    command -v "$engine" >/dev/null || fail "CONTAINER_ENGINE is '$engine', which is not a program: set it to docker or podman."
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    engine=docker
  elif command -v podman >/dev/null; then
    engine=podman
  elif command -v docker >/dev/null; then
    fail "docker is installed but its engine does not answer: start it, or check that this user may use it (see 'docker info')."
  else
    fail "neither docker nor podman is installed: install one (on Debian and Ubuntu with 'bash bootstrap.sh podman', elsewhere see https://docs.docker.com/engine/install)."
  fi
  # Podman's own image format has no health checks.
  export BUILDAH_FORMAT=docker
}

find_compose() {
  local candidate
  if [ "${engine##*/}" = docker ]; then
    if docker compose version >/dev/null 2>&1; then compose=(docker compose) && return; fi
    if command -v docker-compose >/dev/null; then compose=(docker-compose) && return; fi
    fail "docker is installed without compose: install the package docker-compose-plugin (https://docs.docker.com/compose/install)."
  fi
  for candidate in "$PWD/.local/podman-compose/bin/podman-compose" podman-compose; do
    if command -v "$candidate" >/dev/null; then compose=("$candidate") && return; fi
  done
  fail "podman is installed without podman-compose: run 'bash bootstrap.sh podman' or 'pip install podman-compose'."
}

# Writes random passwords to the file $1, which only its owner can read. The other arguments are further lines.
make_env_file() {
  local file=$1 name
  shift
  mkdir -p "$(dirname "$file")"
  (
    umask 077
    {
      for name in POSTGRES_PASSWORD CLAIMS_DATABASE_PASSWORD PAYMENTS_DATABASE_PASSWORD GATEWAY_DATABASE_PASSWORD; do
        printf '%s=%s\n' "$name" "$(head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n')"
      done
      # Podman cannot choose a port from a range.
      [ "${engine##*/}" != podman ] || printf 'PAYMENTS_PORTS=127.0.0.1::8001\n'
      [ $# = 0 ] || printf '%s\n' "$@"
    } >"$file.new"
  )
  mv "$file.new" "$file"
}

# Copies the binaries in $1 to the directory that the images take them from, without debug symbols.
stage_binaries() {
  local name
  mkdir -p .local/prebuilt
  for name in launcher local_broker "${services[@]}"; do
    [ -x "$1/$name" ] || fail "$1/$name does not exist: build it first ('cargo build --release' puts it in target/release)."
    rm -f ".local/prebuilt/$name"
    if command -v strip >/dev/null; then
      strip -o ".local/prebuilt/$name" "$1/$name"
    else
      cp "$1/$name" ".local/prebuilt/$name"
    fi
  done
}

# build_image TARGET TAG SUFFIX [ARGUMENT...]: SUFFIX is _prebuilt for staged binaries.
build_image() {
  local target=$1 tag=$2 suffix=$3
  shift 3
  "$engine" build --file deploy/Dockerfile --target "$target$suffix" --tag "claims-to-payments/$target:$tag" "$@" .
}

# Stops the stack and keeps its volumes; further arguments go to compose. podman-compose does not stop scaled instances.
compose_down() {
  local project=$1 instances
  shift
  if [ "${engine##*/}" = podman ]; then
    mapfile -t instances < <(podman ps --all --quiet --filter "label=io.podman.compose.project=$project" \
      --filter label=com.docker.compose.service=payments)
    [ ${#instances[@]} = 0 ] || podman rm --force --time 30 "${instances[@]}" >/dev/null
  fi
  "${compose[@]}" down "$@"
}
