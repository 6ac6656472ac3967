#!/usr/bin/env bash
# Compares fragment_layouts.h with CuTe's headers, out of PyPI's nvidia-cutlass. Not part of the tests, since it fetches 6 MB: run it when that file changes.
# usage: check_fragment_layouts.sh [folder with the CUDA headers]
set -euo pipefail
cd "$(dirname "$0")/../../.."
cuda=${1:-/usr/local/cuda/include}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download -q --no-deps -d "$work" nvidia-cutlass==4.2.0.0
python3 -m zipfile -e "$work"/nvidia_cutlass-*.whl "$work"
g++ -std=c++17 -I . -isystem "$work/cutlass_library/source/include" -isystem "$cuda" -isystem "$cuda/cccl" -o "$work/check" tests/cudasim/fragments/cute_layouts.cc
"$work/check"
