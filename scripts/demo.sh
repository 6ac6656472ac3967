#!/usr/bin/env bash
# The main job from nothing: set-up, build, then SmolLM2-135M-Instruct sharded over two MPI ranks answers a question on the CPU.
#   scripts/demo.sh ["your question"]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/stages.sh
source scripts/mpi_env.sh

question=${1:-"Explain in three sentences why the sky is blue."}
build() { cmake --preset cpu >/dev/null && cmake --build --preset cpu -j "$(nproc)" --target terrace; }
progress=plain
if [ -t 2 ]; then progress=bar; fi

use_ccache_if_there
stage set-up 900 scripts/setup.sh
stage build 900 build
printf '\n== the answer, by two ranks ==\n> %s\n\n' "$question"
mpirun -n 2 build/cpu/terrace run configs/smollm2.yaml --progress "$progress" -p "$question"
printf '\n\nTry next:  build/cpu/terrace run configs/smollm2.yaml -p "..."     one process\n'
printf '           build/cpu/terrace --help                                 everything else\n'
