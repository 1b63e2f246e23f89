#!/usr/bin/env bash
# Finds phrases that the project does not use, in code, comments and documents, and prints the term to use instead.
# Reads only. A phrase that is split over two lines is not found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'check_language.sh: %s\n' "$*" >&2; exit 1; }
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || fail "this is not a git checkout: clone the repository and run it there."

# Files that must have such phrases.
readonly exempt=(
  CHANGELOG.md # It names what was renamed.
)

# A phrase, as a Perl regular expression, and the term to use. Case does not count, and a blank also stands for the _ of a name.
# A value in single quotes is one that a migration renames.
readonly phrases=(
  'sa(id|ys?|ying) again | published again, re-published'
  '(?<!there )(is|are|was|were)\x20(?-i:none) | is not a …, does not exist'
  'who(so)?ever | the name of the actor'
  '(no|some|any)body | the name of the actor'
  'who then | the name of the actor'
  'word for word | identical'
  '(set|sets|setting) aside | dead-letter (a message), reserve (a budget)'
  'anew | again'
  'ask(s|ed|ing)? (for )?again | re-request, retry'
  'beside itself | a second time'
  'unasked | unsolicited'
  'heard | received'
  '(is|are|was|were|be|been|being) told | receives, is configured'
  'fall(s|ing)? upon | send a burst to'
  "(?<!')suspect(?!') | unverified"
  'put(s|ting)? back | restore'
  'not so any more | no longer'
  'last words | last lines'
  'mend(s|ed|ing)? | fix, correct'
  'heed(s|ed|ing)? | handle, respect'
  'the desk | the operator API'
  'foresee[ns]? | preflight'
  "(?<!')acquit(s|ted)?(?!') | close (a receivable)"
  'twins? | duplicates within the group'
  '(a|the|each|every|this|that|its|one) letter(?! [a-z]\b| of ) | dead letter'
)

# Migrations that may already be applied cannot change; this is the newest of them.
readonly newest_applied=2026-11-28-000020

is_checked() {
  local entry
  [ -f "$1" ] || return 1
  for entry in "${exempt[@]}"; do [[ $1 != "$entry"* ]] || return 1; done
  case $1 in
    scripts/check_language.sh) return 1 ;; # It lists the phrases.
    */migrations/*/up.sql)
      entry=$(basename "$(dirname "$1")")
      [[ ${entry:0:${#newest_applied}} > $newest_applied ]]
      ;;
    *.rs | *.md | *.sh | *.py | *.toml | *.yml | *.yaml | *Dockerfile | *.properties | *.example | .ci/run) ;;
    *) return 1 ;;
  esac
}

files=()
while read -r file; do
  if is_checked "$file"; then files+=("$file"); fi
done < <(git ls-files --cached --others --exclude-standard | sort -u)
[ ${#files[@]} -gt 0 ] || fail "no files to check."

found=0
for entry in "${phrases[@]}"; do
  phrase=${entry% | *} term=${entry##* | }
  while IFS=: read -r file line text; do
    printf "%s:%s: '%s': use: %s\n" "$file" "$line" "$text" "$term"
    found=$((found + 1))
  done < <(printf '%s\0' "${files[@]}" | xargs -0 grep -HnoiP "(?<![a-z])(?:${phrase// /[ _]})(?![a-z])" || true)
done

((found == 0)) || fail "phrases found: $found."
printf 'language holds: %s phrases, %s files\n' "${#phrases[@]}" "${#files[@]}"
