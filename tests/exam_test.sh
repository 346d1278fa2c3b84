#!/usr/bin/env bash
# Usage: exam_test.sh PROGRAM
# gradus-exam as its user meets it: codes, words, files.
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

# expect CODE TEXT [arguments...]: it exits with CODE and says TEXT.
expect() {
  local code=$1 text=$2 output status=0
  shift 2
  output=$("$program" "$@" 2>&1 < /dev/null) || status=$?
  if [[ $status != "$code" || $output != *"$text"* ]]; then
    printf 'gradus-exam %s: exit %s instead of %s, or no "%s":\n%s\n' "$*" "$status" "$code" "$text" \
      "$output"
    failures=$((failures + 1))
  fi
}

expect 0 "1 of 1 statements hold" D2c --quick
expect 0 "4 of 4 statements hold" D2 --quick
expect 0 "statements hold" M --quick
expect 0 "posterior at n = 7" D4 --quick --verbose
expect 0 "1 of 1 statements hold" --json one.json D2c --quick
expect 0 "1 of 1 statements hold" --device cpu D2c --quick
expect 2 "unknown statement D2x (did you mean D2" D2x
expect 2 "unknown statement" ''
expect 2 "did you mean --verbose" --verbos
expect 2 "one of cpu, cuda, emulated" --device gpu
expect 2 "there is cpu" --device cuda
expect 3 "nowhere/ledger.json" D2a --quick --json nowhere/ledger.json

expect 0 "hold" --quick --json ledger.json --report page.html
statements=$(grep -c '<section' page.html)
for what in "$statements $(grep -c '<math' page.html)" "$statements $(grep -c '"claim"' ledger.json)" \
  "0 $(grep -c 'http' page.html || true)"; do
  [[ ${what% *} == "${what#* }" ]] || { echo "the page and the ledger differ: $what"; failures=1; }
done
exit $((failures > 0))
