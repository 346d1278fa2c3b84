#!/usr/bin/env bash
# Usage: twins_test.sh LIBRARY EMULATED
# Every kernel that the library may call on a device is there: the weak references that the library's
# objects hold to gradus::emulated and gradus::cuda are defined by the archive of the CUDA sources.
set -euo pipefail
export LC_ALL=C
library=$1 emulated=$2

names() { c++filt | sed -E 's/gradus::(cuda|emulated)::/DEVICE::/g' | sort -u; }
wanted=$(nm "$library" | awk '$1 == "w" && /6gradus(4cuda|8emulated)/ { print $2 }' | names)
defined=$(nm --defined-only "$emulated" | awk '/6gradus8emulated/ { print $3 }' | names)

missing=$(comm -23 <(echo "$wanted") <(echo "$defined"))
if [[ -n $missing ]]; then
  echo "kernels without a twin on devices:"
  echo "$missing"
  exit 1
fi
count=$(wc -l <<< "$wanted")
((count > 100)) || { echo "only $count kernels found"; exit 1; }
echo "$count kernels and functions of the machine, each with its twin"
