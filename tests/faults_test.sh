#!/usr/bin/env bash
# Usage: faults_test.sh PROGRAM COMPILER
# The trainer without memory and with a failing disk: exit codes, and the checkpoint that was there.
set -euo pipefail
program=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
small=(--data synthetic --hidden 32 --latent-dim 3 --batch 512 --threads 2)
checkpoint=checkpoint.safetensors

fail() {
  printf '%s\n' "$*"
  exit 1
}

"$program" "${small[@]}" --epochs 1 --name begun > /dev/null
"$program" "${small[@]}" --epochs 2 --name whole > /dev/null

# again: `cut` is as `begun` was when it was cut.
again() {
  rm -rf runs/cut
  cp -r runs/begun runs/cut
}
# What a failure left behind is whole, and leads to the end of a run without failures.
goes_on() {
  "$program" --resume cut --epochs 2 > log 2>&1 || fail "$1: does not resume: $(cat log)"
  cmp runs/cut/$checkpoint runs/whole/$checkpoint || fail "$1: other parameters"
  [[ -z $(find runs/cut -name '*.tmp') ]] || fail "$1: leaves a temporary"
}

# ---- Memory: the least address space in which it works, by bisection, and steps about it, close ---
# enough for the stack's last pages to be what fails.
out=0
# within KIB: whether it works in so much.
within() {
  local status=0
  again
  (ulimit -v "$1" && exec "$program" --resume cut --epochs 2) > log 2>&1 || status=$?
  [[ $status != 0 ]] || return 0
  [[ $status != 127 ]] || return 1 # not even the libraries fit
  [[ $status == 5 ]] || fail "$1 KiB: exit $status instead of 5: $(cat log)"
  grep -q "out of memory" log || fail "$1 KiB: $(cat log)"
  cmp -s runs/cut/$checkpoint runs/begun/$checkpoint ||
    cmp -s runs/cut/$checkpoint runs/whole/$checkpoint || fail "$1 KiB: another checkpoint"
  goes_on "$1 KiB"
  out=$((out + 1))
  return 1
}
low=10000 high=8000000
while ((high - low > 2000)); do
  limit=$(((low + high) / 2))
  if within $limit; then high=$limit; else low=$limit; fi
done
for ((limit = high + 4000; limit > high - 4000; limit -= 97)); do
  within $limit || true
done
((out > 3)) || fail "memory ran out only $out times"

status=0
(ulimit -s 200 && exec "$program" --help) > log 2>&1 || status=$?
[[ $status == 2 ]] || fail "a stack of 200 KiB: exit $status instead of 2: $(cat log)"
grep -q "at least 512 KiB (ulimit -s), has 200" log || fail "a stack of 200 KiB: $(cat log)"

# ---- Disk: each call that writes fails in turn. --------------------------------------------------
cat > disk.c << 'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>

static int fails(void) {
  static int left = -1;
  if (left < 0) left = atoi(getenv("FAIL_AT"));
  if (left == 0 || --left > 0) return 0;
  errno = atoi(getenv("FAIL_WITH"));
  return 1;
}
#define FAILING(type, name, parameters, arguments)                   \
  type name parameters {                                             \
    static type (*real) parameters;                                  \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);   \
    return fails() ? -1 : real arguments;                            \
  }
FAILING(int, fsync, (int f), (f))
FAILING(int, renameat, (int f, const char* a, int t, const char* b), (f, a, t, b))
FAILING(int, renameat2, (int f, const char* a, int t, const char* b, unsigned m), (f, a, t, b, m))
FAILING(ssize_t, writev, (int f, const struct iovec* v, int n), (f, v, n))
ssize_t write(int f, const void* p, size_t n) {
  static ssize_t (*real)(int, const void*, size_t);
  if (!real) real = (ssize_t(*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write");
  return f > 2 && fails() ? -1 : real(f, p, n); /* messages are not the disk's */
}
END
"$2" -x c -shared -fPIC -o disk.so disk.c -ldl
failed=0
for ((number = 1; number < 200; number += number < 30 ? 1 : 7)); do
  error=$((number % 2 ? 28 : 5)) status=0 # ENOSPC, EIO
  again
  FAIL_AT=$number FAIL_WITH=$error LD_PRELOAD=./disk.so \
    "$program" --resume cut --epochs 2 > log 2>&1 || status=$?
  if [[ $status == 3 ]]; then
    failed=$((failed + 1))
    grep -q "runs/cut/" log || fail "call $number: names no path: $(cat log)"
    [[ -z $(find runs/cut -name '*.tmp') ]] || fail "call $number: leaves a temporary"
  elif [[ $status != 0 ]]; then
    fail "call $number: exit $status instead of 3: $(cat log)"
  fi
  goes_on "call $number"
done
((failed > 20)) || fail "only $failed calls failed"
echo "out of memory $out times, $failed failures of the disk"
