#!/usr/bin/env bash
# Usage: peers_test.sh GRADUS_PEERS
# The harness that measures the library beside others: every workload of ours runs, and a peer whose
# results are not ours is refused. No other library is needed.
set -euo pipefail
program=$(readlink -f "$1")
compare=$(dirname "$(readlink -f "$0")")/../bench/peers/compare.py
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

complain() {
  printf '%s\n' "$*"
  failures=$((failures + 1))
}

# Each workload prints one line, with a time and no infinity.
"$program" --list > "$folder/names"
"$program" --samples 1 --seconds 0 --threads 2 > "$folder/lines"
sed 's/.*"name":"\([^"]*\)".*/\1/' "$folder/lines" | cmp - "$folder/names" ||
  complain "not one line a workload"
number='-?[0-9.]+(e[-+][0-9]+)?'
line="^\{\"name\":\"[a-z0-9_/]+\",\"impl\":\"gradus\",\"threads\":2,(\"[a-z_]+\":$number,)+"
line+="\"check\":\[($number(,$number)*)?\]\}\$"
grep -vE "$line" "$folder/lines" && complain "lines of another form"
[[ $("$program" --start) == '{"name":"start",'* ]] || complain "no start"

"$program" optim/adam/1000000 move/ --samples 1 --seconds 0 | grep -c . > "$folder/count"
[[ $(cat "$folder/count") == 7 ]] || complain "names do not choose"
refused() { # TEXT WORD...
  local text=$1 status=0
  shift
  "$program" "$@" > /dev/null 2> "$folder/error" || status=$?
  [[ $status == 2 ]] || complain "$*: exit $status instead of 2"
  grep -qF -- "$text" "$folder/error" || complain "$*: says $(head -n 1 "$folder/error")"
}
refused 'unknown flag --thread (did you mean --threads?)' --thread 2
refused 'no workload has the name optim/adma/1000000 (did you mean optim/adam/1000000?)' \
  optim/adma/1000000 move/
refused "--samples: takes a number from 1 to 1e+06, got 'few'" --samples few
refused "--threads: takes a number from 1 to 256, got '0'" --threads 0
refused '--threads: takes a whole number, got 1.5' --threads 1.5
refused '--threads: takes a value' --threads
refused '--export: takes a value' --export ''

if ! command -v python3 > /dev/null; then
  echo "no python3: compare.py is not tested"
  exit $((failures > 0))
fi

# A Python that has torch only, and prints for it what is in `peer`.
cat > "$folder/python" << END
#!/bin/sh
case "\$*" in
  *torch_peer.py\ --version) echo "torch 0" ;;
  *torch_peer.py*"--impl torch "*) cat "$folder/peer" ;;
  *torch_peer.py*) ;;
  *) exit 1 ;;
esac
END
chmod +x "$folder/python"

compare() { # NAME...
  GRADUS_PEERS_PYTHON=$folder/python python3 -B "$compare" --program "$program" --quick \
    --threads 1 --max-load 99 --max-pace 99 --work "$folder/out" --only "$@" \
    > "$folder/table" 2> "$folder/error"
}

"$program" overhead/ --threads 1 --samples 1 --seconds 0 |
  sed 's/"gradus"/"torch"/' > "$folder/peer"
compare overhead || complain "equal work is refused: $(cat "$folder/error")"
grep -qE '^\| .overhead/add_16. \| [0-9.e-]+ \|.*\([0-9.]+x\)' "$folder/table" ||
  complain "no ratio: $(cat "$folder/table")"
for kind in json md svg; do
  grep -q overhead/chain_1000 "$folder"/out/*-peers.$kind || complain "nothing in $kind"
done

sed -i '/mlp/s/"check":\[[^,]*/"check":[1.5/' "$folder/peer"
if compare overhead; then complain "other work is not refused"; fi
grep -q 'REFUSED torch overhead/mlp_16_8_1' "$folder/error" || complain "the refusal is not loud"
grep -qE '.overhead/mlp_16_8_1..*\| refused \|' "$folder/table" || complain "refused, but counted"

exit $((failures > 0))
