#!/usr/bin/env bash
# Installs what building and running this workspace needs and this machine lacks, and nothing else; safe to repeat.
# On Debian and Ubuntu it installs packages, elsewhere it names them; Rust comes from rustup everywhere.
# Arguments install more: 'postgres' and 'kafka' what scripts/services.sh needs to run that server, 'kcat' the second Kafka client of
# the tests, 'pgbouncer' their PostgreSQL pooler, and 'podman' what scripts/check_containers.sh needs: podman, podman-compose, and
# tools to make base images offline.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Debian packages with their purpose.
needs=(
  "gcc: compiles SQLite and librdkafka"
  "g++: compiles librdkafka, and brings the C library's headers"
  "make: builds librdkafka"
  "pkg-config: finds the libraries below"
  "libpq-dev: the PostgreSQL client library"
  "zlib1g-dev: compression, for librdkafka"
  "libssl-dev: TLS and SASL, for librdkafka"
  "curl: downloads Rust, and checks whether the services are ready"
  "ca-certificates: verifies the servers of downloads"
  "git: lists the files of the project for the scripts"
  "util-linux: setsid and setpriv, which detach the services from the terminal"
)
with_podman=
for service in "$@"; do
  case $service in
    postgres) needs+=("postgresql: the database server") ;;
    kafka) needs+=("default-jre-headless: runs Kafka" "maven: fetches Kafka's published jars") ;;
    kcat) needs+=("kcat: another Kafka client, for the tests") ;;
    pgbouncer) needs+=("pgbouncer: a PostgreSQL pooler, for the tests") ;;
    podman)
      needs+=(
        "podman: builds and runs containers" "runc: starts them" "netavark: connects them" "aardvark-dns: resolves their names"
        "iptables: publishes their ports" "uidmap: containers of users other than root" "slirp4netns: their network"
        "debootstrap: makes a base image from Debian's packages" "python3-venv: an environment for podman-compose"
      )
      with_podman=yes
      ;;
    *) printf "bootstrap: unknown argument '%s': use postgres, kafka, kcat, pgbouncer or podman.\n" "$service" >&2 && exit 2 ;;
  esac
done
readonly needs

log() { printf 'bootstrap: %s\n' "$*"; }
fail() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }

has() {
  case $1 in
    libpq-dev) pkg-config --exists libpq ;;
    zlib1g-dev) pkg-config --exists zlib ;;
    libssl-dev) pkg-config --exists openssl ;;
    ca-certificates) [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/ssl/cert.pem ] || [ -d /etc/pki/tls/certs ] ;;
    util-linux) command -v setsid && command -v setpriv ;;
    default-jre-headless) command -v java ;;
    maven) command -v mvn ;;
    postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' || command -v initdb ;;
    netavark | aardvark-dns) [ -x "/usr/lib/podman/$1" ] || command -v "$1" ;;
    uidmap) command -v newuidmap ;;
    python3-venv) python3 -c 'import ensurepip, venv' ;;
    iptables) PATH=$PATH:/usr/sbin command -v iptables ;;
    debootstrap) PATH=$PATH:/usr/sbin command -v debootstrap ;;
    pgbouncer) PATH=$PATH:/usr/sbin command -v pgbouncer ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

root=()
[ "$(id -u)" = 0 ] || root=(sudo)

# apt-get as root, with time limits for locks and servers.
apt() {
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 \
    -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 "$@"
}

set_up_packages() {
  local need missing=()
  for need in "${needs[@]}"; do
    has "${need%%:*}" && continue
    log "missing $need"
    missing+=("${need%%:*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  changed=yes
  command -v apt-get >/dev/null ||
    fail "this system has no apt-get: install the equivalents of Debian's ${missing[*]}, then run this again."
  [ ${#root[@]} = 0 ] || command -v sudo >/dev/null ||
    fail "there is no sudo: run 'apt-get update && apt-get install -y ${missing[*]}' as root, then this again."
  log "installing ${missing[*]}"
  apt update || fail "the package lists could not be fetched: check the network and /etc/apt, then run this again."
  apt install -y --no-install-recommends "${missing[@]}" ||
    fail "apt could not install ${missing[*]}: fix the errors above, then run this again."
  for need in "${missing[@]}"; do
    has "$need" || fail "$need is installed but not found: check PATH and PKG_CONFIG_PATH, then run this again."
  done
}

wanted_rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
readonly wanted_rust
readonly rust_parts=(--profile minimal -c rustfmt -c clippy)

has_rust() {
  local -x RUSTUP_AUTO_INSTALL=0
  local found
  found=$(rustc --version | cut -d ' ' -f 2) || return 1
  printf '%s\n' "$wanted_rust" "${found%%-*}" | sort -VC &&
    cargo --version && cargo fmt --version && cargo clippy --version
} >/dev/null 2>&1

# Rust's own installer; both addresses serve the same script.
install_rustup() {
  local installer url
  installer=$(mktemp)
  for url in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
    if curl -fsS --proto '=https' --retry 2 --connect-timeout 15 --max-time 60 -o "$installer" "$url"; then
      timeout --foreground 1200 sh "$installer" -y "${rust_parts[@]}" && break
    fi
  done
  rm -f "$installer"
  hash -r
  has_rust
}

# Installs or updates the toolchain of an existing rustup; this directory then uses it.
update_rustup() {
  timeout --foreground 1200 rustup toolchain install stable "${rust_parts[@]}" --no-self-update || return 1
  has_rust || { rustup override set stable && has_rust; }
}

set_up_rust() {
  has_rust && return
  changed=yes
  local remedy="install Rust $wanted_rust or later with rustfmt and clippy as https://rustup.rs says, then run this again."
  if command -v rustup >/dev/null; then
    log "updating Rust: this workspace needs $wanted_rust or later, with rustfmt and clippy"
    update_rustup || fail "rustup could not install a suitable Rust: $remedy"
    return
  fi
  log "installing Rust with its own installer: this workspace needs $wanted_rust or later, with rustfmt and clippy"
  install_rustup && return
  if command -v apt-get >/dev/null; then
    log "the installer failed: trying the package rustup of newer Debian and Ubuntu"
    apt update && apt install -y --no-install-recommends rustup && update_rustup && return
  fi
  fail "Rust could not be installed: $remedy"
}

# Debian's podman-compose is too old for docker-compose.yml. The package docker-compose is used only for its schema of such files.
readonly python_packages=(podman-compose==1.6.0 jsonschema==4.26.0 PyYAML)

set_up_podman_compose() {
  local place=.local/podman-compose
  if "$place/bin/podman-compose" --version >/dev/null 2>&1 && "$place/bin/python" -c 'import jsonschema, compose' 2>/dev/null; then return; fi
  changed=yes
  log "installing ${python_packages[*]} in $place"
  python3 -m venv "$place" && "$place/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}" &&
    "$place/bin/pip" install --quiet --disable-pip-version-check --no-deps docker-compose==1.29.2 ||
    fail "podman-compose could not be installed: fix the errors above, then run this again."
}

changed=
set_up_packages
[ -z "$with_podman" ] || set_up_podman_compose
set_up_rust
log "everything is ${changed:+now }installed"
