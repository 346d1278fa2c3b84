#!/usr/bin/env bash
# Usage: kill_test.sh PROGRAM
# A run killed at random moments, again and again, goes on each time, and ends as one that never was.
# 10 times; 200 with GRADUS_FULL=1.
set -euo pipefail
program=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
times=$((${GRADUS_FULL:-0} ? 200 : 10))
seed=${GRADUS_SEED:-$(date +%s)}
RANDOM=$((seed % 32768))
# One step an epoch, and a checkpoint after each.
run=(--data synthetic --hidden 16 --latent-dim 2 --batch 4096 --epochs 100000)

fail() {
  printf '%s (GRADUS_SEED=%s)\n' "$*" "$seed"
  exit 1
}

# killed DELAY ARGUMENTS...: starts the program, kills it after so many milliseconds.
killed() {
  local delay=$1 status=0
  shift
  "$program" "$@" > log 2>&1 &
  sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
  kill -KILL $! 2> /dev/null || fail "it had ended before: $(cat log)"
  wait $! 2> /dev/null || status=$?
  [[ $status == 137 ]] || fail "exit $status: $(cat log)"
}

"$program" "${run[@]}" --name killed > log 2>&1 &
while [[ ! -e runs/killed/checkpoint.safetensors ]]; do
  kill -0 $! 2> /dev/null || fail "no checkpoint: $(cat log)"
  sleep 0.01
done
kill -KILL $!
wait $! 2> /dev/null || true
for ((i = 1; i < times; ++i)); do
  killed $((RANDOM % 400)) --resume killed
done

# On a busy machine none may have come to its first step.
taken=$(grep -c '"elbo"' runs/killed/metrics.jsonl 2> /dev/null || true)
steps=$((${taken:-0} + 5))
"$program" --resume killed --max-steps "$steps" > log 2>&1 || fail "does not resume: $(cat log)"
[[ -z $(find runs/killed -name '*.tmp') ]] || fail "temporaries of killed runs stay"
"$program" "${run[@]}" --name whole --max-steps "$steps" > log 2>&1 || fail "$(cat log)"
cmp runs/whole/checkpoint.safetensors runs/killed/checkpoint.safetensors ||
  fail "other parameters after $steps steps"
diff <(sed 's/,"seconds.*//' runs/whole/metrics.jsonl) \
  <(sed 's/,"seconds.*//' runs/killed/metrics.jsonl) || fail "other metrics after $steps steps"
echo "killed $times times on the way to step $steps"
