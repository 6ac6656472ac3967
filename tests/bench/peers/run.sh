#!/usr/bin/env bash
# terrace against the programs that a newcomer would use instead: the same model file, machine and threads, in interleaved rounds.
# Installs the peers outside the checkout, then prints a Markdown table (compare.py). Needs a quiet machine: an hour, less with --quick.
#
#   tests/bench/peers/run.sh [--quick] [--rounds N] [--rows LIST] [--no-openvino] [--vllm] [--model FILE]
#
#   TERRACE        the executable (default build/cpu/terrace of this checkout)
#   TERRACE_CACHE  the peers go to its folder peers/ (default ~/.cache/terrace)
#   VLLM_FOLDER    a folder that install_vllm.sh has filled; --vllm fills one (6 GB)
#   LLAMA_BIN      a folder with llama-bench and llama-batched-bench that are built already; nothing is built then
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${TERRACE_CACHE:-$HOME/.cache/terrace}
peers=$cache/peers
export TERRACE=${TERRACE:-$root/build/cpu/terrace}
export PYTHONDONTWRITEBYTECODE=1

llama_package="llama-cpp-python==0.3.36"  # its source package carries llama.cpp's whole tree
openvino_package="openvino-genai==2026.4.1.0"

say() { echo "peers: $*" >&2; }

fetch_llama() {
  local work
  work=$(mktemp -d "$peers/fetch.XXXXXX")
  python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" "$llama_package"
  tar -xzf "$work"/*.tar.gz -C "$work"
  mv "$work"/*/vendor/llama.cpp "$peers/llama.cpp"
  # GCC 12 believes that _tile_loadconfig reads 8 bytes only and drops the rest of what is stored there: on AMX llama.cpp would crash.
  sed -i 's/^\( *\)_tile_loadconfig(&tc);/\1asm volatile("" :: "r"(\&tc) : "memory");\n&/' "$peers/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
  grep -q 'asm volatile' "$peers/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp" || say "llama.cpp has changed: where it crashes on AMX, see fetch_llama"
  rm -rf "$work"
}

# llama.cpp: Release, this machine's own instructions, and only the programs that are measured (serve.py wants llama-server).
build_llama() {
  export LLAMA_BIN=$peers/llama.cpp/build/bin
  if [ -x "$LLAMA_BIN/llama-bench" ] && [ -x "$LLAMA_BIN/llama-batched-bench" ] && [ -x "$LLAMA_BIN/llama-server" ]; then return; fi
  say "building llama.cpp of $llama_package in $peers (minutes)"
  [ -d "$peers/llama.cpp" ] || fetch_llama
  cmake -S "$peers/llama.cpp" -B "$peers/llama.cpp/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF >&2
  cmake --build "$peers/llama.cpp/build" -j "$(nproc)" --target llama-bench llama-batched-bench llama-server >&2
}

# OpenVINO GenAI reads GGUF files of the Llama family itself.
install_openvino() {
  export OPENVINO_FOLDER=$peers/openvino
  if [ -d "$OPENVINO_FOLDER/openvino_genai" ]; then return; fi
  say "installing $openvino_package in $OPENVINO_FOLDER"
  python3 -m pip install --quiet --target "$OPENVINO_FOLDER" "$openvino_package" || {
    say "OpenVINO GenAI does not install here: its column stays empty"
    unset OPENVINO_FOLDER
  }
}

openvino=yes
vllm=no
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --no-openvino) openvino=no ;;
    --vllm) vllm=yes ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

[ -x "$TERRACE" ] || { say "$TERRACE is not there: build it, or set TERRACE"; exit 2; }
mkdir -p "$peers"
[ -n "${LLAMA_BIN:-}" ] || build_llama
export LLAMA_BIN
if [ $openvino = yes ]; then install_openvino; fi
if [ $vllm = yes ]; then
  export VLLM_FOLDER=${VLLM_FOLDER:-$peers/vllm}
  "$here/install_vllm.sh" "$VLLM_FOLDER" "$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf" || {
    say "vLLM does not install here: its column stays empty"
    unset VLLM_FOLDER
  }
fi
source "$root/scripts/mpi_env.sh"
exec python3 "$here/compare.py" --model "$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf" "${arguments[@]}"
