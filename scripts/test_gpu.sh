#!/usr/bin/env bash
# For a person with a GPU: builds, runs every op test, the engine and end-to-end runs on the real device, and prints what the device can do and what terrace reaches.
#   scripts/test_gpu.sh [MODEL.gguf]
# NEVER RUN SO FAR: terrace was written without a GPU at hand. All that it calls has run on the simulator (docs/cuda.md); what it prints here would be the first real figures.
set -uo pipefail
cd "$(dirname "$0")/.."
source scripts/stages.sh
source scripts/mpi_env.sh

if [ ! -e /dev/nvidiactl ] && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "no NVIDIA GPU and driver on this machine: nothing to test"
  exit 77
fi
cache=${TERRACE_CACHE:-$HOME/.cache/terrace}
model=${1:-$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf}
folder=build/cuda
export TERRACE_CUDA_MODULE=$PWD/$folder/libterrace_cuda.so TERRACE_TEST_MODEL=$model
# Ranks as threads: a kernel that is loaded late may wait for one that waits for another rank.
export CUDA_MODULE_LOADING=EAGER
gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
log=$(mktemp)
scratch=$(mktemp -d)
trap 'rm -rf "$log" "$scratch"' EXIT

build() {
  cmake --preset cuda && cmake --build --preset cuda -j "$(nproc)" --target terrace terrace_cuda terrace_tests_kernels terrace_tests_runtime
}
ops() { "$folder/terrace_tests_kernels" --gtest_brief=1 --gtest_filter='*cuda*'; }
# Ranks as threads take a GPU each: what needs more of them than there are is left out.
engine() {
  local filter='DeviceEngineTest.*:DevicePageStoreTest.*:DeviceCollectiveTest.*'
  case $gpus in
    1) filter='DevicePageStoreTest.*:DeviceEngineTest.HowThePromptIsChunkedDoesNotMatter:DeviceEngineTest.PreemptedAndResumedGivesEqualBits' ;;
    2) filter='DeviceEngineTest.*:DevicePageStoreTest.*-*OnAnyNumberOfRanks:*AloneOrInABatch*' ;;
    3) filter+='-*SumsInOneShot*:*TheNormInASumsKernel*' ;;
  esac
  "$folder/terrace_tests_runtime" --gtest_brief=1 --gtest_filter="$filter"
}
# Small sums over the devices' own memory (CUDA IPC): fails, and rank 0 says why, where the devices do not reach each other's; sums then go by NCCL.
sums() {
  local test
  for test in SumsInOneShot TheNormInASumsKernel; do
    mpirun -n "$((gpus < 8 ? gpus : 8))" "$folder/terrace_tests_runtime" --gtest_brief=1 --gtest_filter="DeviceCollectiveTest.$test*" || return 1
  done
}
# Greedy tokens, compared until the CPU's best two are closer than rounding may decide.
same_text() {
  local ranks ask=$scratch/ask.jsonl
  echo '{"custom_id":"1","method":"POST","url":"/v1/completions","body":{"prompt":"The capital of France is","max_tokens":16,"temperature":0,"logprobs":2}}' >"$ask"
  "$folder/terrace" batch "$model" --input "$ask" --output "$scratch/cpu.jsonl" --progress none --set backend=cpu || return 1
  for ((ranks = 1; ranks <= (gpus < 3 ? gpus : 3); ++ranks)); do
    mpirun -n "$ranks" "$folder/terrace" batch "$model" --input "$ask" --output "$scratch/cuda$ranks.jsonl" --progress none --set backend=cuda || return 1
    echo "$ranks ranks:"
    python3 - "$scratch/cpu.jsonl" "$scratch/cuda$ranks.jsonl" <<'EOF' || return 1
import json, sys
MARGIN = 0.25  # of log-probabilities: the CPU quantises what a layer takes in, the device rounds it to f16
wanted, found = (json.loads(open(path).readline())["response"]["body"]["choices"][0]["logprobs"] for path in sys.argv[1:])
for i, (token, best) in enumerate(zip(wanted["tokens"], wanted["top_logprobs"])):
    first, second = (sorted(best.values(), reverse=True) + [float("-inf")] * 2)[:2]
    if first - second < MARGIN:
        sys.exit(print(f"{i} tokens equal, then a close call"))
    if i >= len(found["tokens"]) or found["tokens"][i] != token:
        sys.exit(f"token {i}: the CPU says {token!r} by a margin of {first - second:.2f}, the device {found['tokens'][i:i + 1]}")
print(f"{len(wanted['tokens'])} tokens equal")
EOF
  done
}
# Bandwidth and multiply-adds of the device, and tokens per second beside the bound that follows from them.
figures() { "$folder/terrace" bench "$model" --set backend=cuda --repeat 3 --progress none; }

use_ccache_if_there
export folder model gpus scratch
stage build 1800 build || { printf '%s\n' "${stage_table[@]}"; exit 1; }
stage ops 900 ops
stage engine 300 engine
[ "$gpus" -lt 2 ] || stage sums 120 sums
[ "$gpus" -ge 4 ] || echo "engine: only the tests for $gpus of 4 GPUs were run"
if [ -f "$model" ]; then
  stage same-text 300 same_text
  stage figures 600 figures
else
  echo "no model at $model: scripts/setup.sh fetches it"
fi
printf '\n== summary ==\n'
printf '%s\n' "${stage_table[@]}"
exit $((failed_stages > 0))
