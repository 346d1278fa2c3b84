#!/usr/bin/env bash
# Usage: front_door_test.sh SOURCE_DIR
# What ./run answers to words it does not know, and where packages are missing.
set -euo pipefail
run=$1/run
fake=$(mktemp -d)
trap 'rm -rf "$fake"' EXIT
failures=0

# expect CODE TEXT [arguments of run...]: it exits with CODE and says TEXT.
expect() {
  local code=$1 text=$2 output status=0
  shift 2
  output=$(PATH="$fake:$PATH" "$run" "$@" 2>&1 < /dev/null) || status=$?
  if [[ $status != "$code" || $output != *"$text"* ]]; then
    printf 'run %s: exit %s instead of %s, or no "%s":\n%s\n' "$*" "$status" "$code" "$text" "$output"
    failures=$((failures + 1))
  fi
}

expect 2 "Usage: ./run WORD"
expect 0 "Usage: ./run WORD" --help
expect 2 "did you mean 'test'" tset
expect 2 "did you mean 'bench'" benhc
expect 2 "did you mean 'exam'" exma
expect 2 "did you mean 'quick'" test quik
expect 2 "at most" test quick full
[[ ! -e $1/examples/vae.cpp ]] || expect 2 "did you mean 'vae'" vea

# A Debian that has g++ only, with neither root nor sudo.
printf '#!/bin/sh\necho "g++ installed"\n' > "$fake/dpkg-query"
printf '#!/bin/sh\necho 1000\n' > "$fake/id"
printf '#!/bin/sh\nexit 1\n' > "$fake/sudo"
chmod +x "$fake"/*
install="sudo apt-get update && sudo apt-get install -y --no-install-recommends"
expect 3 "$install cmake ninja-build zlib1g-dev" bench

# With sudo, but apt-get fails; then it works, and is never asked to ask.
printf '#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n' > "$fake/sudo"
printf '#!/bin/sh\necho "apt-get $DEBIAN_FRONTEND $*"\nexit 100\n' > "$fake/apt-get"
chmod +x "$fake"/*
expect 3 "apt-get noninteractive -q install -y --no-install-recommends cmake" bench

exit $((failures > 0))
