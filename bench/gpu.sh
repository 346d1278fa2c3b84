#!/usr/bin/env bash
# Usage: bench/gpu.sh [--dry-run] [SECONDS] [STAGE...]
# Everything that needs an NVIDIA GPU, in stages that save what they find as they find it: a run
# that is cut keeps what it has. SECONDS are for all of it (560); without a STAGE all run, in order.
#
# OUT                  folder of the results (bench/results/<date>-gpu)
# GRADUS_PREBUILT      folder with gradus_tests and libgradus_gpu_bench.so, which are then not built
# GRADUS_PEERS_PYTHON  a Python that has torch (python3)
#
# Exit code: 1 where a stage failed, 2 for wrong words, 3 without a GPU ("build" alone needs none).
set -uo pipefail
export LC_ALL=C
script=$(readlink -f "${BASH_SOURCE[0]}")
root=$(dirname "$(dirname "$script")")
default_seconds=560 least=15 # what no stage begins below

stages=(machine build conformance tests emulated sanitizers bench report)
declare -A cap=([machine]=10 [build]=300 [conformance]=30 [tests]=150 [emulated]=60
  [sanitizers]=160 [bench]=420 [report]=15)
declare -A what=(
  [machine]="names the device, its driver and its clocks"
  [build]="gradus_tests and libgradus_gpu_bench.so, with -DGRADUS_CUDA=ON"
  [conformance]="the primitives that the emulator imitates, on the device"
  [tests]="the whole test suite with GRADUS_TEST_DEVICES=cuda"
  [emulated]="the same inputs on the emulator and on the device"
  [sanitizers]="memcheck, racecheck, synccheck, initcheck over a part of the tests"
  [bench]="ceilings, then every case beside PyTorch"
  [report]="the table and the picture"
)

say() { echo "gpu: $*"; }

usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$script"
  printf '\nStages: %s\n' "${stages[*]}"
}

has_gpu() { nvidia-smi --query-gpu=name --format=csv,noheader > /dev/null 2>&1; }

# ---- the stages; each runs in a process of its own, with its time as $1

stage_machine() {
  local fields=name,driver_version,compute_cap,memory.total,clocks.sm,clocks.mem
  nvidia-smi --query-gpu="$fields,power.draw,power.limit,temperature.gpu" --format=csv
  nvcc --version 2> /dev/null | tail -n 1
  uname -sr
  git -C "$root" log -1 --format='commit %H' 2> /dev/null || true
}

stage_build() {
  local flags=() capability
  if [[ $BIN != "$root/build/gpu" ]]; then
    say "given: $BIN"
    return
  fi
  # Only for the device at hand.
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -n 1)
  [[ $capability == 9.0 ]] && flags+=(-DCMAKE_CUDA_ARCHITECTURES=90a-real)
  command -v nvcc > /dev/null || PATH=$PATH:/usr/local/cuda/bin
  cmake -S "$root" -B "$BIN" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADUS_CUDA=ON \
    -DGRADUS_BUILD_EXAMPLES=ON "${flags[@]}" &&
    ninja -C "$BIN" gradus_tests gradus_gpu_bench
}

tests() { "$BIN/gradus_tests" --gtest_color=no "$@"; }

# "no such device" and the like are skips, which must not pass for success here.
none_skipped() { # LOG
  if grep -q '^\[  SKIPPED \]' "$1"; then
    say "skipped on a machine with a GPU:"
    return 1
  fi
  grep -q '^\[  PASSED  \] [1-9]' "$1"
}

stage_conformance() {
  tests --gtest_filter='*Conformance.*/cuda:EmulatorNumbers.*/cuda' > "$OUT/conformance.txt" 2>&1
  local status=$?
  grep -E '^\[  (FAILED|SKIPPED|PASSED)' "$OUT/conformance.txt"
  ((status == 0)) && none_skipped "$OUT/conformance.txt"
}

# One process a suite, several at a time.
one_suite() { # SUITE.
  local log begin=$SECONDS status=passed
  log=$(mktemp)
  GRADUS_TEST_DEVICES=cuda GRADUS_THREADS=2 tests --gtest_filter="$1*" > "$log" 2>&1 ||
    status=FAILED
  echo "$status $1 $((SECONDS - begin)) s" >> "$OUT/tests.txt"
  [[ $status == passed ]] || { echo "==== $1" && tail -c 20000 "$log"; } >> "$OUT/tests-failed.txt"
  rm -f "$log"
}

stage_tests() {
  : > "$OUT/tests.txt"
  rm -f "$OUT/tests-failed.txt"
  local suites
  suites=$(tests --gtest_list_tests | awk '/^[^ ]+\.( |$)/ { print $1 }')
  [[ -n $suites ]] || { say "the test program lists no tests"; return 1; }
  xargs -P "$((($(nproc) + 1) / 2))" -I{} "$script" --suite {} <<< "$suites"
  local all passed
  all=$(wc -l <<< "$suites")
  passed=$(grep -c ^passed "$OUT/tests.txt")
  grep ^FAILED "$OUT/tests.txt"
  say "$passed of $all suites passed"
  [[ $passed == "$all" ]]
}

stage_emulated() {
  tests --gtest_filter='Devices.TheEmulatorAndAGpuAgree' > "$OUT/emulated.txt" 2>&1
  local status=$?
  grep -vE '^\[(=|-| RUN|       OK)|^Note|^$' "$OUT/emulated.txt" | head -n 40
  ((status == 0)) && none_skipped "$OUT/emulated.txt"
}

stage_sanitizers() { # SECONDS
  : > "$OUT/sanitizers.txt"
  command -v compute-sanitizer > /dev/null || PATH=$PATH:/usr/local/cuda/bin
  # Some machines have the tool and do not let it at the device.
  local first='EmulatorConformance.Indices/cuda' subset failed=0 tool status
  if ! compute-sanitizer --tool memcheck "$BIN/gradus_tests" --gtest_filter="$first" 2>&1 |
    tee "$OUT/sanitizers.txt" | grep -q 'ERROR SUMMARY'; then
    say "skipped: compute-sanitizer does not work here: $(tail -n 1 "$OUT/sanitizers.txt")"
    return 0
  fi
  subset='*Conformance.*/cuda:EmulatorNumbers.*/cuda:Graphed.*:Devices.AModelMovesAndTrains'
  subset+=':Devices.DrawTheSameNumbers:Table.ShapesAndDtypesOfResultsInBothPrecisions'
  subset+=':Definitions.FirstDerivativeWithAndWithoutAGraph'
  for tool in memcheck racecheck synccheck initcheck; do
    echo "==== $tool" >> "$OUT/sanitizers.txt"
    GRADUS_TEST_DEVICES=cuda timeout "$(($1 / 4))" compute-sanitizer --tool "$tool" \
      --error-exitcode 9 "$BIN/gradus_tests" --gtest_color=no --gtest_filter="$subset" \
      > "$OUT/sanitizer.log" 2>&1
    status=$?
    head -c 200000 "$OUT/sanitizer.log" >> "$OUT/sanitizers.txt"
    case $status in
      0) say "$tool: nothing found" ;;
      124) say "$tool: cut; its lines until then: $(grep -c '^=========' "$OUT/sanitizer.log")" ;;
      *)
        say "$tool: exit code $status, $(grep 'ERROR SUMMARY' "$OUT/sanitizer.log" | tail -n 1)"
        failed=1
        ;;
    esac
  done
  rm -f "$OUT/sanitizer.log"
  return "$failed"
}

stage_bench() { # SECONDS
  if ! "${GRADUS_PEERS_PYTHON:-python3}" -c 'import torch' 2> /dev/null; then
    say "GRADUS_PEERS_PYTHON, or python3, has no torch"
    return 1
  fi
  # Modules are loaded before the first time is taken, not in it.
  CUDA_MODULE_LOADING=EAGER "${GRADUS_PEERS_PYTHON:-python3}" -B "$root/bench/gpu/compare.py" \
    --library "$BIN/libgradus_gpu_bench.so" --out "$OUT/bench.jsonl" --seconds "$(($1 - 10))"
}

stage_report() {
  [[ -s $OUT/bench.jsonl ]] || { say "nothing was measured"; return 0; }
  "${GRADUS_PEERS_PYTHON:-python3}" -B "$root/bench/gpu/summary.py" "$OUT/bench.jsonl"
}

# ---- the run

if [[ ${1:-} == --inside ]]; then # STAGE SECONDS
  "stage_$2" "$3"
  exit
fi
if [[ ${1:-} == --suite ]]; then # SUITE.
  one_suite "$2"
  exit
fi

dry='' seconds=$default_seconds chosen=()
for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
    --dry-run) dry=yes ;;
    *)
      if [[ $word =~ ^[1-9][0-9]*$ ]]; then
        seconds=$word
      elif [[ -n ${cap[$word]:-} ]]; then
        chosen+=("$word")
      else
        say "unknown word '$word'; known are --dry-run, a number of seconds, ${stages[*]}" >&2
        exit 2
      fi
      ;;
  esac
done
((${#chosen[@]})) || chosen=("${stages[@]}")

if [[ $dry ]]; then
  say "in $seconds seconds, into ${OUT:-$root/bench/results/$(date +%F)-gpu}:"
  for stage in "${stages[@]}"; do
    [[ " ${chosen[*]} " == *" $stage "* ]] || continue
    printf '%-12s %4d s  %s\n' "$stage" "${cap[$stage]}" "${what[$stage]}"
  done
  exit 0
fi

if [[ ${chosen[*]} != build ]] && ! has_gpu; then
  say "there is no NVIDIA GPU here (nvidia-smi finds none); --dry-run shows what would run" >&2
  exit 3
fi

export OUT=${OUT:-$root/bench/results/$(date +%F)-gpu}
mkdir -p "$OUT" || exit 1
OUT=$(readlink -f "$OUT")
BIN=$root/build/gpu
if [[ -n ${GRADUS_PREBUILT:-} ]]; then
  prebuilt=$(readlink -f "$GRADUS_PREBUILT")
  export LD_LIBRARY_PATH=$prebuilt${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  if [[ -e $prebuilt/libgradus_gpu_bench.so ]] &&
    "$prebuilt/gradus_tests" --gtest_list_tests > /dev/null 2> "$OUT/prebuilt.txt"; then
    BIN=$prebuilt
  else
    say "GRADUS_PREBUILT does not run here, so it is built: $(head -n 1 "$OUT/prebuilt.txt")"
  fi
fi
export BIN

failed=() cut=''
trap 'cut=yes' INT TERM # the stage is cut; what it has is reported
for stage in "${stages[@]}"; do
  [[ " ${chosen[*]} " == *" $stage "* ]] || continue
  left=$((seconds - SECONDS))
  # The table of what was measured needs little and is worth it.
  [[ $stage == report ]] || left=$((left - cap[report]))
  if [[ $stage != report ]] && { [[ $cut ]] || ((left < least)); }; then
    echo "$stage skipped: no time was left" | tee -a "$OUT/stages.txt"
    failed+=("$stage")
    continue
  fi
  ((left = left < 5 ? 5 : left, limit = left < cap[$stage] ? left : cap[$stage], begin = SECONDS))
  say "$stage ($limit s)"
  timeout -k 5 "$limit" "$script" --inside "$stage" "$limit" 2>&1 | tee -a "$OUT/log.txt"
  status=${PIPESTATUS[0]}
  case $status in
    0) result='done' ;;
    124 | 137) result="cut after $limit s" ;;
    *) result="failed ($status)" ;;
  esac
  ((status == 0)) || failed+=("$stage")
  echo "$stage $result, $((SECONDS - begin)) s" | tee -a "$OUT/stages.txt"
  if [[ $stage == build && $status != 0 ]]; then
    say "nothing runs without the build"
    exit 1
  fi
done
say "results are in $OUT"
if ((${#failed[@]})); then
  say "not done or failed: ${failed[*]}"
  exit 1
fi
