#!/usr/bin/env bash
# Throws inputs at what claim_process reads, one fuzz target after another, and stops at the first that fails, with the name
# of the input. What was found on the way is kept under target/ and is where the next run begins.
# usage: fuzz.sh [SECONDS [TARGET...]]    300 seconds for each target, and all targets, where nothing is said
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'fuzz.sh: %s\n' "$*" >&2; exit 1; }

readonly seconds=${1:-300}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "'$seconds' is not a number of seconds."
shift || true

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/fuzz}
# With this the compiler of the services takes the flags that fuzzing needs, and no other has to be there.
export RUSTC_BOOTSTRAP=1

cp Cargo.lock crates/claim_process/fuzz/Cargo.lock
cd crates/claim_process
mapfile -t targets < <(if (($#)); then printf '%s\n' "$@"; else cargo fuzz list; fi)

# The longest input, in bytes: a value, or a claim of some lines.
max_len() {
  case $1 in
    claim_*) echo 16384 ;;
    batch) echo 4096 ;;
    *) echo 256 ;;
  esac
}

for target in "${targets[@]}"; do
  found=$CARGO_TARGET_DIR/corpus/$target
  mkdir -p "$found"
  touch "$CARGO_TARGET_DIR/corpus/begun"
  printf 'fuzz.sh: %s, %s seconds\n' "$target" "$seconds"
  cargo fuzz run "$target" "$found" "fuzz/corpus/$target" -- -max_total_time="$seconds" -max_len="$(max_len "$target")" \
    -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 && continue
  input=$(find "$PWD/fuzz/artifacts/$target" -type f -newer "$CARGO_TARGET_DIR/corpus/begun" 2>/dev/null | head -n 1) || true
  fail "$target fails${input:+ on $input}: what it says is above."
done
