#!/usr/bin/env bash
# Checks the structure of the workspace: dependencies between crates, what the domain may use, and file names and places.
# Prints each violation with its reason. Reads only; the dependencies must be fetched, which any cargo build does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

violations=0
violation() {
  printf '%s\n' "$*"
  violations=$((violations + 1))
}
fail() { printf 'check_boundaries.sh: %s\n' "$*" >&2; exit 1; }

# The files that git tracks or would add, if they exist.
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || fail "this is not a git checkout: clone the repository and run it there."
mapfile -t files < <(git ls-files --cached --others --exclude-standard | sort -u | while read -r file; do
  [ ! -e "$file" ] || printf '%s\n' "$file"
done)
files_like() { printf '%s\n' "${files[@]}" | grep -E "$1" || true; }

# --- dependencies -------------------------------------------------------------------------------------------------

# must_not_depend CRATE KINDS REASON OTHER...: no OTHER may be in CRATE's dependency tree of these kinds.
must_not_depend() {
  local crate=$1 kinds=$2 why=$3 tree other
  shift 3
  tree=$(cargo tree --frozen --package "$crate" --edges "$kinds" --prefix none --format '{p}') ||
    fail "cargo could not list the dependencies of $crate: fix the errors above ('cargo fetch' fetches missing crates)."
  for other in "$@"; do
    if grep -q "^$other v" <<<"$tree"; then
      violation "$crate depends on $other, directly or through another crate ('cargo tree -p $crate -i $other' shows how): $why."
    fi
  done
}

no_claims="it is a general mechanism and must not depend on claims"
by_events="the services communicate only through events, and neither may depend on the other or its surroundings"
must_not_depend claim_events normal "the contract does no I/O" tokio actix-web diesel rdkafka reqwest
must_not_depend dual_db normal "$no_claims" claim_events claim_process payments
must_not_depend event_bus normal "$no_claims" claim_events claim_process payments
must_not_depend event_bus normal "it is Kafka, and no server and no command line" service_runtime actix-web utoipa clap figment
must_not_depend text_enum normal "it is for the domain and the contract, which do no I/O" tokio diesel rdkafka actix-web utoipa
must_not_depend worker_threads normal "it is threads and pauses only, so that any crate may use it" tokio diesel rdkafka serde actix-web
must_not_depend journal normal "$no_claims" claim_events claim_process payments
must_not_depend checker normal "it must not repeat the services' mistakes, and compares what others collect" \
  claim_events claim_process payments event_bus dual_db tokio diesel rdkafka reqwest
must_not_depend secrets normal "$no_claims" claim_events claim_process payments
must_not_depend service_runtime normal "$no_claims" claim_events claim_process payments
must_not_depend operator_api normal "it is the same in both services" claim_process payments
must_not_depend claim_process normal "$by_events" payments simulated_gateway local_broker
must_not_depend payments normal "$by_events" claim_process simulated_gateway local_broker
must_not_depend simulated_gateway normal "it stands for the system of another company" payments claim_process claim_events
must_not_depend launcher normal "it is built first, and uses the services only as programs" \
  claim_process payments simulated_gateway local_broker claim_events tokio actix-web diesel rdkafka reqwest
must_not_depend system_tests normal,dev "it tests the system from outside, as its users see it" claim_process payments
while read -r crate; do
  case $crate in
    # These contain only tests and their support.
    system_tests | test_support) ;;
    *) must_not_depend "$crate" normal "it is for tests: make it a dev-dependency" test_support ;;
  esac
done < <(files_like '^crates/[^/]+/Cargo\.toml$' | cut -d / -f 2)

# --- what the domain uses -----------------------------------------------------------------------------------------

# Prints each match as file:line: code. Comments are cut off.
in_code() {
  local pattern=$1 file
  while read -r file; do
    [ -n "$file" ] || continue
    sed 's://.*$::' "$file" | grep -nE "$pattern" | sed "s|^|$file:|" || true
  done
}
domain=$(files_like '^crates/[^/]+/src/domain(/.*)?\.rs$')
while read -r found; do
  [ -z "$found" ] || violation "$found: the domain is pure; move I/O into an adapter folder beside it."
done < <(in_code '\b(actix[a-z_]*|diesel[a-z_]*|rdkafka|tokio|reqwest)\b|\bstd::(fs|net|thread|process|env)\b' <<<"$domain")
while read -r found; do
  [ -z "$found" ] || violation "$found: the domain does not read the clock; pass the time in."
done < <(in_code '\b(SystemTime|Instant|Timestamp|Zoned)::now\b' <<<"$domain")
# `use std::{…}` may span lines.
while read -r file; do
  [ -n "$file" ] || continue
  if sed 's://.*$::' "$file" | tr '\n' ' ' | grep -qE 'use std::\{([^;]*[^:[:alnum:]_])?(fs|net|thread|process|env)\b[^;]*;'; then
    violation "$file: the domain is pure; it uses fs, net, thread, process or env of std, which belong in an adapter folder."
  fi
done <<<"$domain"

# --- the layers of the services -----------------------------------------------------------------------------------

# not_in_layer FOLDER PATTERN REASON: no code in a folder of crates may match the pattern. Both are regular expressions.
not_in_layer() {
  local found
  while read -r found; do
    [ -z "$found" ] || violation "$found: $3."
  done < <(files_like "^crates/$1(/.*)?\.rs$" | in_code "$2")
}
not_in_layer '(claim_process|payments)/src/http' '\b(diesel[a-z_]*|db|[Cc]onnection|transaction)\b' \
  "http parses requests and renders responses; move database access into a use case or into queries"
not_in_layer claim_process/src/claims '\b(actix[a-z_]*|utoipa[a-z_]*|http|http_server|Problem)\b' \
  "claims holds the use cases and uses no HTTP; return a type that http can render"
not_in_layer claim_process/src/claims '\bdiesel[a-z_]*\b' "claims runs no query of its own; move queries into db"
not_in_layer 'claim_process/src/(db|domain|events|intake)' '\bcrate::(claims|http)\b' \
  "it is below the use cases and must not use them; decide in claims from what it returns"

# --- names, sizes, first lines ------------------------------------------------------------------------------------

while read -r file; do
  [ -z "$file" ] || violation "$file: 'common' and 'utils' are not meaningful names; name the module after its purpose."
done < <(files_like '^crates/(.*/)?(common|utils)(\.rs$|/)')
while read -r found; do
  [ -z "$found" ] || violation "$found: 'common' and 'utils' are not meaningful names; name it after its purpose."
done < <(files_like '^crates/.*(\.rs|/Cargo\.toml)$' | xargs -r -d '\n' grep -nE '\bmod (common|utils)\b|^name = "(common|utils)"' /dev/null || true)

readonly longest=500
while read -r file; do
  [ -n "$file" ] || continue
  lines=$(wc -l <"$file")
  if ((lines > longest)); then
    violation "$file has $lines lines, and $longest is the limit: it holds more than one idea; split it."
  fi
done < <(files_like '^crates/[^/]+/src/')

while read -r file; do
  [ -n "$file" ] || continue
  head -n 1 "$file" | grep -q '^//!' ||
    violation "$file does not begin with a '//!' line: describe there its purpose and what it must not do."
done < <(files_like '^crates/[^/]+/src/.*\.rs$')

# --- the top level ------------------------------------------------------------------------------------------------

readonly top_level="Cargo.toml Cargo.lock crates deploy docker-compose.yml bootstrap.sh develop_local.sh scripts README.md LICENSE CHANGELOG.md"
while read -r entry; do
  case $entry in
    .*) ;;
    *) [[ " $top_level " == *" $entry "* ]] ||
      violation "$entry does not belong at the top level, which holds $top_level and dotfiles." ;;
  esac
done < <(printf '%s\n' "${files[@]}" | cut -d / -f 1 | sort -u)

((violations == 0)) || fail "violations found: $violations."
printf 'boundaries hold: %s crates, %s files\n' "$(files_like '^crates/[^/]+/Cargo\.toml$' | wc -l)" "${#files[@]}"
