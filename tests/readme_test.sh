#!/usr/bin/env bash
# Usage: readme_test.sh README LIBRARY_DIR INCLUDE_DIR COMPILER
# Every ```cpp block of the README with a main() compiles as written, links and runs.
set -euo pipefail
readme=$(readlink -f "$1") library=$2 include=$3 compiler=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

awk '/^```cpp$/ { inside = 1; ++n; next } /^```/ { inside = 0 } inside { print > ("block" n ".cpp") }' \
  "$readme"
programs=0
for block in block*.cpp; do
  grep -q 'int main(' "$block" || continue
  echo "$block:"
  "$compiler" -std=c++20 -O1 -Wall -Wextra -Wno-psabi -Werror -I"$include" "$block" \
    -L"$library" -lgradus -Wl,-rpath,"$library" -o program
  ./program
  programs=$((programs + 1))
done
((programs > 0)) || { echo "no program found in $readme"; exit 1; }
