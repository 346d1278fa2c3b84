#!/usr/bin/env bash
# Usage: install_test.sh SOURCE_DIR BUILD_DIR COMPILER
# A stranger's project finds the installed library in a prefix that was moved, by find_package and
# by pkg-config, shared and static, and builds it as a subdirectory; a running program loads it.
set -euo pipefail
source=$(cd "$1" && pwd) build=$(cd "$2" && pwd) compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$source"/tests/install/{main.cpp,CMakeLists.txt} "$work"
cd "$work"

quietly() { "$@" > log 2>&1 || { cat log; echo "failed: $*"; exit 1; }; }

stranger() { # NAME [flags of cmake...]
  local name=$1
  shift
  echo "$name:"
  quietly cmake -S . -B "$name" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" "$@"
  quietly cmake --build "$name"
  "$name/stranger"
}

# Installs a build and moves it: nothing may remember where it was.
install_moved() { # BUILD PREFIX
  quietly cmake --install "$1" --prefix "$work/first/$2"
  mkdir -p moved
  mv "first/$2" "moved/$2"
  if grep -rIlF -e "$work/first" -e "$source" -e "$build" "moved/$2"; then
    echo "these remember a path of the build"
    exit 1
  fi
}

pkg_config() { # PREFIX [--static]
  local pc
  pc=$(echo "$work/moved/$1"/lib*/pkgconfig "$work/moved/$1"/lib*/*/pkgconfig | tr ' ' '\n' |
    while read -r dir; do [[ -e $dir/gradus.pc ]] && echo "$dir"; done || true)
  local flags library
  flags=$(PKG_CONFIG_PATH=$pc pkg-config ${2:-} --cflags --libs gradus)
  library=$(PKG_CONFIG_PATH=$pc pkg-config --variable=libdir gradus)
  # shellcheck disable=SC2086
  quietly "$compiler" -std=c++20 main.cpp $flags -Wl,-rpath,"$library" -o "pkg-$1"
  echo "pkg-config, $1:"
  "./pkg-$1"
}

install_moved "$build" shared
stranger find-shared -DCMAKE_PREFIX_PATH="$work/moved/shared"
pkg_config shared
quietly "$compiler" -std=c++20 -pthread "$source/tests/install/loaded.cpp" -ldl -o loaded
quietly ./loaded "$(find moved/shared -name libgradus.so)"
echo "loaded by a running program"
for program in moved/shared/bin/gradus-*; do
  [[ -e $program ]] || continue
  quietly "$program" --help
  echo "${program##*/} runs from the moved prefix"
done

# -O1 is enough here, and halves the time.
stranger subdirectory -DGRADUS_SOURCE="$source" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_FLAGS_RELEASE=-O1 ${CCACHE:+-DCMAKE_CXX_COMPILER_LAUNCHER="$CCACHE"}
install_moved subdirectory static
stranger find-static -DCMAKE_PREFIX_PATH="$work/moved/static"
pkg_config static --static
