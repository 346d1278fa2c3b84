#!/usr/bin/env bash
# Usage: layering_test.sh SOURCE_DIR
# No file includes upwards, none is longer than 400 lines or wider than 100 columns.
set -euo pipefail
export LC_ALL=C.UTF-8
cd "$1"

layers=(kernels tensor autograd nn examples)
failures=0
complain() {
  echo "$1"
  failures=$((failures + 1))
}
# Lines `file:number: text` that break a rule, each a failure with the rule's name.
complain_each() {
  while IFS= read -r line; do complain "$1: $line"; done
}
files_of() { find "$@" -name '*.h' -o -name '*.cpp' -o -name '*.inc' -o -name '*.cu' -o -name '*.cuh' | sort; }

for i in "${!layers[@]}"; do
  mapfile -t files < <(files_of "${layers[i]}")
  ((${#files[@]})) || continue
  own="${layers[i]}"
  above=$(IFS='|' && echo "${layers[*]:i+1}|tests|bench")
  [[ $own == examples ]] && above='tests|bench'
  upward="^ *# *include *[<\"](gradus/)?($above)/"
  complain_each "$own may not include upwards" < <(grep -nHE "$upward" "${files[@]}" || true)
  if [[ $own != examples ]]; then
    complain_each "$own may not include the umbrella" \
      < <(grep -nHE '^ *# *include *[<"](gradus/)?gradus\.h' "${files[@]}" || true)
    complain_each "spell it \"gradus/<folder>/<file>\"" \
      < <(grep -nHE '^ *# *include *"' "${files[@]}" | grep -vE '"gradus/' || true)
  fi
  if [[ $own != kernels ]]; then
    complain_each "only kernels may include their machine layer" \
      < <(grep -nHE '^ *# *include *[<"]gradus/kernels/(cpu|cuda)/' "${files[@]}" \
        | grep -vE 'kernels/(cpu/(pool|isa)|cuda/(runtime|replay))\.h"' || true)
  fi
done

mapfile -t files < <(files_of "${layers[@]}" tests bench)
files+=(gradus.h)
for file in "${files[@]}"; do
  lines=$(wc -l < "$file")
  ((lines <= 400)) || complain "$file: $lines lines, at most 400"
done
complain_each "wider than 100 columns" < <(grep -nHE '^.{101,}' "${files[@]}" | cut -c1-90 || true)

# A check that looks at nothing must not pass.
((${#files[@]} > 10)) || complain "only ${#files[@]} files found"
((failures == 0)) || { echo "$failures findings"; exit 1; }
echo "${#files[@]} files, all layered"
