#!/usr/bin/env bash
# Usage: gpu_script_test.sh SOURCE
# The script for machines with a GPU, where there is none, and on one that is played: with programs
# of the names that it calls.
set -euo pipefail
root=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0
stages=(machine build conformance tests emulated sanitizers bench report)

complain() {
  printf '%s\n' "$*"
  failures=$((failures + 1))
}
program() { # NAME, its lines on standard input
  { echo '#!/usr/bin/env bash' && cat; } > "$folder/bin/$1"
  chmod +x "$folder/bin/$1"
}
gpu() { # EXPECTED WORD...
  local expected=$1 status=0
  shift
  env PATH="$folder/bin:$PATH" OUT="$folder/out" GRADUS_PREBUILT="$folder/built" \
    GRADUS_PEERS_PYTHON="$folder/bin/python" "$root/bench/gpu.sh" "$@" > "$folder/log" 2>&1 ||
    status=$?
  [[ $status == "$expected" ]] ||
    complain "$*: exit $status instead of $expected: $(cat "$folder/log")"
}
expect() { # TEXT FILE
  grep -qF -- "$1" "$2" || complain "no '$1' in $2: $(cat "$2")"
}

mkdir "$folder/bin" "$folder/built"
bash -n "$root/bench/gpu.sh"

# Without a GPU.
program nvidia-smi <<< 'exit 9'
gpu 0 --dry-run
for stage in "${stages[@]}"; do
  grep -qE "^$stage +[0-9]+ s  " "$folder/log" || complain "--dry-run does not list $stage"
done
[[ $(grep -cE '^[a-z]+ +[0-9]+ s  ' "$folder/log") == "${#stages[@]}" ]] ||
  complain "--dry-run lists other stages"
gpu 0 --dry-run 100 bench
[[ $(grep -cE ' s  ' "$folder/log") == 1 ]] || complain "a stage is not chosen"
gpu 3
expect "no NVIDIA GPU" "$folder/log"
gpu 2 nonsense
expect "unknown word 'nonsense'" "$folder/log"
gpu 2 0
[[ ! -e $folder/out ]] || complain "results where nothing ran"

# With one: two suites, and a benchmark of two cases.
program nvidia-smi <<< 'echo device'
program compute-sanitizer << 'END'
[[ $2 != racecheck ]] || { echo "========= ERROR SUMMARY: 1 error"; exit 9; }
echo "========= ERROR SUMMARY: 0 errors"
END
program python << END
case "\$*" in
  "-c import torch") ;;
  *compare.py*) while [[ \$1 != --out ]]; do shift; done; cat "$folder/lines" > "\$2" ;;
  *) exec python3 "\$@" ;;
esac
END
program gradus_tests << END
case "\$*" in
  *list_tests*) printf 'First.\n  One\nSecond.\n  Two\n' ;;
  *Second*) cat "$folder/second" ;;
  *) echo '[  PASSED  ] 1 test.' ;;
esac
[[ "\$*" != *=Second* || ! -e $folder/broken ]]
END
mv "$folder/bin/gradus_tests" "$folder/built"
touch "$folder/built/libgradus_gpu_bench.so"
echo '[  PASSED  ] 1 test.' > "$folder/second"
cat > "$folder/lines" << END
{"case": "machine", "date": "2000-01-01", "torch": "0", "commit": "abc", "name": "device"}
{"case": "ceilings", "copy": 4e12, "read": 4e12, "bf16": 7e14, "f32": 5e13}
{"case": "map/gelu/1000", "skipped": "of a run before"}
{"case": "map/gelu/1000", "moved": 8000.0, "flops": 0.0, "sets": 2, "limit": 1e-6, "noise": 0.01, \
"error": {"gradus": 3e-6, "torch": 1e-8}, "failures": {"torch-compile": "no"}, \
"seconds": {"gradus": 2e-6, "torch": 5e-6}, "ratio": {"torch": 2.5}}
{"case": "product/nn/1x2x3", "skipped": "no time was left"}
{"case": "map/relu/1000", "mov
END

gpu 1 # for racecheck
for stage in "${stages[@]}"; do expect "$stage " "$folder/out/stages.txt"; done
[[ $(grep -c ' done, ' "$folder/out/stages.txt") == $((${#stages[@]} - 1)) ]] ||
  complain "other stages fail: $(cat "$folder/out/stages.txt")"
expect "sanitizers failed" "$folder/out/stages.txt"
expect "racecheck: exit code 9" "$folder/out/log.txt"
expect "2 of 2 suites passed" "$folder/out/log.txt"
if command -v python3 > /dev/null; then
  # shellcheck disable=SC2016 # markdown
  expect '| `map/gelu/1000` | 2 | 1.0% | 0.004 TB/s | 50% | 3e-06 ! | 5 (2.5x) 1e-08 |' \
    "$folder/out/bench.md"
  expect 'torch-compile: no' "$folder/out/bench.md"
  expect 'Not measured, for time: ' "$folder/out/bench.md"
  expect 2.5x "$folder/out/bench.svg"
fi

# A suite that fails, and a test that the device was to run and did not.
touch "$folder/broken"
gpu 1 tests
expect "FAILED Second." "$folder/out/tests.txt"
expect "passed First." "$folder/out/tests.txt"
expect "==== Second." "$folder/out/tests-failed.txt"
sed -i "s/ 1 test/ 1 test.\n[  SKIPPED ] 1 test/" "$folder/built/gradus_tests"
gpu 1 emulated

# A stage that is cut keeps what it has; what no time is left for is named.
program python << END
[[ \$1 != -c ]] || exit 0
while [[ \$1 != --out ]]; do shift; done
cat "$folder/lines" > "\$2"
sleep 60
END
rm -r "$folder/out"
gpu 1 31 bench tests
expect "bench cut after" "$folder/out/stages.txt"
expect map/gelu/1000 "$folder/out/bench.jsonl"
gpu 1 5 tests
expect "tests skipped" "$folder/out/stages.txt"

exit $((failures > 0))
