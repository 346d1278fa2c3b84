#!/usr/bin/env bash
# Usage: bench/build_time.sh [COMPILER]
# What a build costs, against its limits: the umbrella header, a clean library, the stripped size.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
compiler=${1:-g++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds() { # COMMAND...: its wall time
  local start=$EPOCHREALTIME
  "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'
}

cmake -S "$root" --preset release -B "$work/build" -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_CXX_COMPILER_LAUNCHER="$(type -P env)" -DGRADUS_BUILD_TESTS=OFF \
  -DGRADUS_BUILD_EXAMPLES=OFF -DGRADUS_BUILD_BENCH=OFF > "$work/log"
echo '#include <gradus/gradus.h>' > "$work/header.cpp"

best=999
for _ in 1 2 3 4 5; do
  t=$(seconds "$compiler" -std=c++20 -O2 -Wno-psabi -I"$work/build/include" -c "$work/header.cpp" \
    -o "$work/header.o")
  best=$(awk -v a="$best" -v b="$t" 'BEGIN { print a < b ? a : b }')
done
echo "$("$compiler" --version | head -n 1), $(nproc) processors"
echo "#include <gradus/gradus.h>   $best s (limit 1.5; best of 5)"
echo "clean build of the library   $(seconds cmake --build "$work/build" --target gradus -- -j 2) s (limit 180; 2 jobs)"
strip -o "$work/stripped" "$work/build/libgradus.so"
echo "shared library, stripped     $(stat -c %s "$work/stripped") bytes (limit 5000000)"
