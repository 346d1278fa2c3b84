#!/usr/bin/env bash
# Usage: vae_test.sh PROGRAM
# The VAE trainer from outside: exit codes, messages, files, and runs that are cut off and resumed.
set -euo pipefail
vae=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
small=(--data synthetic --hidden 32 --latent-dim 3 --epochs 2)
failures=0

complain() {
  printf '%s\n' "$*"
  failures=$((failures + 1))
}

# expect CODE TEXT [arguments of the program...]: it exits with CODE and says TEXT.
expect() {
  local code=$1 text=$2 output status=0
  shift 2
  output=$("$vae" "$@" 2>&1 < /dev/null) || status=$?
  if [[ $status != "$code" || $output != *"$text"* ]]; then
    complain "vae $*: exit $status instead of $code, or no \"$text\": $output"
  fi
}

# Two runs ended in the same parameters, moments and metrics; only the seconds may differ.
expect_same() {
  cmp "runs/$1/checkpoint.safetensors" "runs/$2/checkpoint.safetensors" || complain "$1 $2: differ"
  diff <(sed 's/,"seconds.*//' "runs/$1/metrics.jsonl") \
    <(sed 's/,"seconds.*//' "runs/$2/metrics.jsonl") || complain "$1 $2: metrics differ"
}

expect 0 '"latent-dim": 3' "${small[@]}" --print-config
expect 0 "--latent-dim" --help
expect 2 "the LogNormal has its support on z > 0" --latent normal --prior log-normal
expect 2 "did you mean --batch?" --bacth 3
expect 2 "--batch: must be an integer, at least 1" --batch 0
expect 2 "--device: must be one of cpu, cuda, emulated: is tpu" --device tpu
expect 0 "--iwae" --help
expect 2 "--iwae: must be an integer, at least 0: is -1" --iwae -1
expect 2 "--iwae --beta" --iwae 5 --beta 2
for wish in ISA=sse9 THREADS=0 THREADS=257 THREADS=two THREADS=2x THREADS=; do
  export "GRADUS_$wish"
  expect 2 "GRADUS_$wish: " --help
  unset "GRADUS_${wish%%=*}"
done
expect 3 "no run at runs/none" --resume none
expect 3 "train-images-idx3-ubyte" --data .
expect 3 "none.json" --config none.json
[[ ! -e runs ]] || complain "a run that could not begin left runs/ behind"

expect 0 "analytic KL" "${small[@]}" --name whole
for file in config.json metrics.jsonl checkpoint.safetensors report.html \
  reconstructions.png samples.png traversal.png; do
  [[ -s runs/whole/$file ]] || complain "no $file"
done
expect 2 "--resume whole" "${small[@]}" --name whole

# Cut in the first epoch, at its end and in the second; with other threads.
for steps in 1 16 21; do
  expect 0 "test ELBO" "${small[@]}" --name "cut-$steps" --max-steps "$steps"
  expect 0 "test ELBO" --resume "cut-$steps" --max-steps 0 --threads "$((steps % 3 + 1))"
  expect_same whole "cut-$steps"
done

# Cut by a signal, sent to a run that is surely training.
for signal in INT TERM; do
  "$vae" "${small[@]}" --epochs 100000 --name "$signal" > "$signal.log" &
  while [[ ! -s runs/$signal/metrics.jsonl ]]; do sleep 0.05; done
  kill -"$signal" $!
  status=0
  wait $! || status=$?
  [[ $status == 130 ]] || complain "SIG$signal: exit $status instead of 130"
  grep -q "continue with --resume $signal" "$signal.log" || complain "SIG$signal: no way to resume"
  steps=$(sed -n 's/stopped at step \([0-9]*\).*/\1/p' "$signal.log")
  expect 0 "test ELBO" "${small[@]}" --epochs 100000 --name "to-$signal" --max-steps "$steps"
  expect_same "to-$signal" "$signal"
done

# Another model's checkpoint, a damaged one and other settings are refused and stay as they are.
expect 2 "made with latent-dim 3, not 4" --resume whole --latent-dim 4
expect 0 "test ELBO" "${small[@]}" --latent-dim 2 --name other
cp runs/other/checkpoint.safetensors runs/cut-1/checkpoint.safetensors
expect 3 "not a checkpoint of this model" --resume cut-1
cmp runs/other/checkpoint.safetensors runs/cut-1/checkpoint.safetensors || complain "overwritten"
truncate -s 1000 runs/cut-1/checkpoint.safetensors
expect 3 "checkpoint.safetensors" --resume cut-1
[[ -s runs/other/latents.png && -s runs/other/manifold.png ]] || complain "no pictures of the plane"

# The importance-weighted bound is above the ELBO of the same weights, and resumes as the ELBO does.
expect 0 "test bound of 20 samples" "${small[@]}" --iwae 20 --name iwae
expect 0 "test bound" "${small[@]}" --iwae 20 --name cut-iwae --max-steps 3
expect 0 "test bound" --resume cut-iwae --max-steps 0
expect_same iwae cut-iwae
expect 2 "made with iwae 20, not 5" --resume iwae --iwae 5
expect 2 "made with iwae 0, not 5" --resume whole --iwae 5
sed -n 's/.*"test_elbo":\([^,]*\),.*"test_iwae":\([^,]*\),.*/\1 \2/p' runs/iwae/metrics.jsonl |
  awk '!($2 > $1) { exit 1 } END { if (NR != 2) exit 1 }' || complain "iwae: not above the ELBO"

expect 4 "try a smaller --lr" "${small[@]}" --lr 1e9
expect 5 "out of memory" "${small[@]}" --hidden 99999999999
for flags in "--latent log-normal" "--likelihood gaussian --beta 0.5" "--dtype f64"; do
  # shellcheck disable=SC2086
  expect 0 "analytic KL" "${small[@]}" --max-steps 2 $flags
done

((failures == 0)) || { echo "$failures findings"; exit 1; }
echo "the trainer does as it says"
