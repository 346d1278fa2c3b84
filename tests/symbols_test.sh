#!/usr/bin/env bash
# Usage: symbols_test.sh LIBRARY OBJECT...
# A shared library shows namespace gradus only and stays below 5 MB. In every object, wide registers
# appear in functions of the wide namespaces only: a weak function with AVX code and a neutral name
# could be picked by the linker for a machine without AVX.
set -euo pipefail
export LC_ALL=C
library=$1
shift
failures=0

if [[ $library == *.so* ]]; then
  mapfile -t symbols < <(nm --dynamic --defined-only "$library" | awk '{print $3}')
  foreign=$(printf '%s\n' "${symbols[@]}" | grep -vE '^_Z(T[VITS]|G[VR]|Z)*N[rVKRO]*6gradus' |
    grep -vE '^(_init|_fini|_edata|_end|__bss_start|__(asan|odr|ubsan|tsan).*)$' || true)
  ((${#symbols[@]} > 20)) || { echo "only ${#symbols[@]} symbols shown"; failures=1; }
  if [[ -n $foreign ]]; then
    echo "shown, but not of namespace gradus:"
    c++filt <<< "$foreign"
    failures=1
  fi

  stripped=$(mktemp)
  trap 'rm -f "$stripped"' EXIT
  strip -o "$stripped" "$library"
  size=$(stat -c %s "$stripped")
  echo "${#symbols[@]} symbols shown, $size bytes stripped"
  ((size < 5000000)) || { echo "stripped: at most 5000000 bytes"; failures=1; }
fi

# Mangled, the wide namespaces are 4avx2 and 6avx512. VEX and EVEX mnemonics begin with v.
wide=$(objdump --disassemble --no-show-raw-insn "$@" | awk -F'\t' '
  /^[0-9a-f]+ <.*>:$/ {
    name = $0; sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name)
    neutral = name !~ /4avx2|6avx512/; told = 0; ++functions
    next
  }
  $2 ~ /^v(zeroupper|zeroall|.*%[xyz]mm)/ {
    if (neutral && !told) { print name; told = 1 }
    if (!neutral) ++inside
  }
  END { print functions + 0, inside + 0 > "/dev/stderr" }' 2> >(
    read -r functions inside
    echo "$functions functions, $inside wide instructions in their place" >&2
    ((functions > 20)) || echo "too few functions to mean anything" >&2))
if [[ -n $wide ]]; then
  echo "wide instructions outside of the wide namespaces:"
  c++filt <<< "$wide"
  failures=1
fi
exit "$failures"
