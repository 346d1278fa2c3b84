#!/usr/bin/env bash
# Usage: readme_test.sh SOURCE_DIR LIBRARY_DIR INCLUDE_DIR COMPILER
# What README.md and docs/ show is so. A ```cpp block is a program: it compiles without a warning,
# runs, and prints the ```text block after it, where one follows. A ```cpp from FILE block stands in
# that file, white space aside. Links lead to files, and the promises in ULP are those of the test.
set -euo pipefail
source=$(readlink -f "$1") library=$2 include=$3 compiler=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

complain() {
  printf '%s\n' "$*"
  failures=$((failures + 1))
}

# PAGE: every block in a folder of its own: program.cpp and printed, or quote and file.
take_apart() {
  awk -v prefix="$(basename "$1" .md)-" '
    !inside && /^```/ {
      inside = 1; to = ""
      if (/^```cpp/) {
        folder = prefix NR
        system("mkdir " folder)
        to = folder (/^```cpp$/ ? "/program.cpp" : "/quote")
        if (!/^```cpp$/) print substr($0, 8) > (folder "/file")
        program = /^```cpp$/
      } else {
        if (/^```text$/ && program) to = folder "/printed"
        program = 0
      }
      next
    }
    /^```/ { inside = 0; close(to); next }
    inside && to { print > to }' "$1"
}

run_program() { # FOLDER
  "$compiler" -std=c++20 -O1 -Wall -Wextra -Wno-psabi -Werror -I"$include" program.cpp \
    -L"$library" -lgradus -Wl,-rpath,"$library" -o program || return 1
  ./program > output || return 1
  [[ ! -e printed ]] || diff printed output
}

pages=("$source"/README.md)
for page in "$source"/docs/*.md; do
  [[ $page == */design.md || $page == */exam.md ]] || pages+=("$page")
done
programs=0
for page in "${pages[@]}"; do
  take_apart "$page"
  for link in $(grep -oE '\]\([A-Za-z0-9_./-]+\.[a-z]+[)#]' "$page" | tr -d ']()#' || true); do
    [[ -e $(dirname "$page")/$link ]] || complain "${page##*/} links to $link, which does not exist"
  done
done
for program in */program.cpp; do
  (cd "${program%/*}" && run_program) || complain "${program%/*}: does not do as the page says"
  programs=$((programs + 1))
done
for quote in */quote; do
  [[ -e $quote ]] || continue
  read -r word file < "${quote%/*}/file" || true
  text=$(tr -d '[:space:]' < "$quote")
  [[ $word == from && -n $text && -e $source/$file &&
    $(tr -d '[:space:]' < "$source/$file") == *"$text"* ]] ||
    complain "${quote%/*}: neither a program nor what stands in '${file:-}'"
done

promised() { sed -n 's/^| `\([a-z0-9]*\)` | \([0-9.]*\) |.*/\1 \2/p' "$source"/docs/numerics.md; }
held() {
  sed -n 's/^ *GRADUS_ROW(\([a-z0-9]*\),.*, \([0-9.]*\)),$/\1 \2/p' \
    "$source"/tests/simd_functions.h
}
diff <(promised) <(held) || complain "numerics.md: promises other than those of simd_functions.h"

((programs > 0)) || complain "no program found"
echo "$programs programs of ${#pages[@]} pages, $failures findings"
exit $((failures > 0))
