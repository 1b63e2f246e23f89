# shellcheck shell=bash
# Finds docker or podman, and what speaks docker-compose.yml with it; read in by other scripts, which have a `fail`.
# Sets `engine` (docker or podman) and, by find_compose, `compose`.

readonly images_version=0.1.0
readonly services=(claim_process payments simulated_gateway)

find_engine() {
  engine=${CONTAINER_ENGINE:-}
  if [ -n "$engine" ]; then
    command -v "$engine" >/dev/null || fail "CONTAINER_ENGINE is '$engine', and there is no such program: name docker or podman."
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    engine=docker
  elif command -v podman >/dev/null; then
    engine=podman
  elif command -v docker >/dev/null; then
    fail "docker is here and its engine does not answer: start it, or see whether this user may use it ('docker info' says more)."
  else
    fail "there is neither docker nor podman: install one ('bash bootstrap.sh podman' does on Debian and Ubuntu, https://docs.docker.com/engine/install elsewhere)."
  fi
  # Podman's own format knows no health check.
  export BUILDAH_FORMAT=docker
}

find_compose() {
  local candidate
  if [ "${engine##*/}" = docker ]; then
    if docker compose version >/dev/null 2>&1; then compose=(docker compose) && return; fi
    if command -v docker-compose >/dev/null; then compose=(docker-compose) && return; fi
    fail "docker is here without compose: install the package docker-compose-plugin (https://docs.docker.com/compose/install)."
  fi
  for candidate in "$PWD/.local/podman-compose/bin/podman-compose" podman-compose; do
    if command -v "$candidate" >/dev/null; then compose=("$candidate") && return; fi
  done
  fail "podman is here without podman-compose: 'bash bootstrap.sh podman' installs it, or 'pip install podman-compose'."
}

# Passwords that nobody chose, in the file $1, which only its owner reads. Further lines come from the other arguments.
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
      # Podman cannot choose from a range.
      [ "${engine##*/}" != podman ] || printf 'PAYMENTS_PORTS=127.0.0.1::8001\n'
      [ $# = 0 ] || printf '%s\n' "$@"
    } >"$file.new"
  )
  mv "$file.new" "$file"
}

# Puts the binaries in $1 where the images take them from, without what only debuggers need.
stage_binaries() {
  local name
  mkdir -p .local/prebuilt
  for name in launcher local_broker "${services[@]}"; do
    [ -x "$1/$name" ] || fail "there is no $1/$name: build it first ('cargo build --release' puts it in target/release)."
    rm -f ".local/prebuilt/$name"
    if command -v strip >/dev/null; then
      strip -o ".local/prebuilt/$name" "$1/$name"
    else
      cp "$1/$name" ".local/prebuilt/$name"
    fi
  done
}

# build_image TARGET TAG SUFFIX [ARGUMENT...]: SUFFIX is _prebuilt for binaries that were staged.
build_image() {
  local target=$1 tag=$2 suffix=$3
  shift 3
  "$engine" build --file deploy/Dockerfile --target "$target$suffix" --tag "claims-to-payments/$target:$tag" "$@" .
}

# Stops the stack and keeps its volumes; further arguments go to compose. podman-compose forgets instances it has scaled to.
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
