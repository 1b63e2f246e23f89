#!/usr/bin/env bash
# Fuzzes the parsers of claim_process, one target after another. Stops at the first failure and names the input.
# New inputs are kept under target/, where the next run begins.
# usage: fuzz.sh [SECONDS [TARGET...]]    default: 300 seconds for each target, all targets
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'fuzz.sh: %s\n' "$*" >&2; exit 1; }

readonly seconds=${1:-300}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "'$seconds' is not a number of seconds."
shift || true

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/fuzz}
# Lets the stable compiler accept the flags that fuzzing needs, so that no other toolchain is needed.
export RUSTC_BOOTSTRAP=1

cp Cargo.lock crates/claim_process/fuzz/Cargo.lock
cd crates/claim_process
mapfile -t targets < <(if (($#)); then printf '%s\n' "$@"; else cargo fuzz list; fi)

# The longest input in bytes: a single value, or a claim with several lines.
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
  fail "$target failed${input:+ on $input}: see the output above."
done
