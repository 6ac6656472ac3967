# The whole program on the CUDA backend, executed by the simulator (tests/cudasim): the same greedy tokens as on the CPU, for ranks as processes and as
# threads, in batches, with chunked prompts and a pool so small that sequences are put off; and what it says when ranks or devices are missing.
# needs: mpirun
source "$(dirname "$0")/lib.sh"
needs_simulated_device
writer=$(dirname "$TERRACE")/tiny_model_writer
command -v mpirun >/dev/null || { echo "skipped: no mpirun (Debian: apt install openmpi-bin)"; exit 77; }

"$writer" "$work/tiny.gguf" F16 || fail "the tiny model was not written"
small=(--set cache.device=2MiB --set scheduler.max_tokens_per_step=32 --progress none)
ask=(run "$work/tiny.gguf" --raw -p "hello the 1 2 hello" --max-tokens 8 --ignore-eos "${small[@]}")
cpu=(--set backend=cpu --set parallel.threads=1)
cuda=(--set backend=cuda)

expect 0 "$TERRACE" "${ask[@]}" "${cpu[@]}"
cp "$work/out" "$work/wanted"
[ -s "$work/wanted" ] || fail "no text from the CPU"
same() { cmp -s "$work/out" "$work/wanted" || fail "$1 gives another text than the CPU: $(od -c "$work/out" | head -3)"$'\n'"$(cat "$work/err")"; }

for numerics in fast invariant; do
  for ranks in 1 2 3; do
    expect 0 mpirun -n $ranks "$TERRACE" "${ask[@]}" "${cuda[@]}" --set numerics=$numerics
    same "numerics $numerics, mpirun -n $ranks"
    [ $ranks -eq 1 ] || says err "the $ranks ranks go through their devices' memory, in one shot"
  done
done
for ranks in 2 3; do
  expect 0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set parallel.ranks=$ranks
  same "$ranks threads"
done
expect 0 env CUDASIM_SEED=5 mpirun -n 2 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set comm.pretend_hosts=2
same "two hosts"
for ranks in 2 3; do
  expect 0 env CUDASIM_PEERS=0 mpirun -n $ranks "$TERRACE" "${ask[@]}" "${cuda[@]}" --set numerics=invariant
  same "mpirun -n $ranks, devices that do not reach each other"
  says err "sums between ranks go by NCCL alone: reaching the memory of rank"
done
expect 0 env CUDASIM_PEERS=0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set parallel.ranks=2
same "2 threads, devices that do not reach each other"
says err "have no peer access"
expect 0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set scheduler.max_tokens_per_step=5
same "a prompt in chunks of 5"
expect 0 "$TERRACE" "${ask[@]}"
same "backend auto"

ptx=$(dirname "$TERRACE")/ptx/sm_90
if [ -d "$ptx" ]; then  # nvcc's own instructions
  for ranks in 1 2 3; do
    expect 0 env CUDASIM_PTX="$ptx" CUDASIM_CAPABILITY=90 mpirun -n $ranks "$TERRACE" "${ask[@]}" "${cuda[@]}"
    same "PTX for sm_90, mpirun -n $ranks"
  done
fi

# Sums in one shot between processes: lengths, bits, many calls behind each other; and with the norm in their kernel.
for test in SumsInOneShot TheNormInASumsKernel; do
  sums=(mpirun -n 3 "$(dirname "$TERRACE")/terrace_tests_runtime" --gtest_brief=1 --gtest_filter="DeviceCollectiveTest.$test*")
  expect 0 "${sums[@]}"
  grep -q "PASSED.*1 test" "$work/out" || fail "$test was not tested: $(cat "$work/out")"
  [ ! -d "$ptx" ] || expect 0 env CUDASIM_PTX="$ptx" CUDASIM_CAPABILITY=90 "${sums[@]}"
done

# A batch: text and log-probabilities of all lines, in a pool of 3 pages, so that sequences are put off and computed again.
for id in 1 2 3; do
  echo "{\"custom_id\":\"$id\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"the hello $id 1 2\",\"max_tokens\":$((6 + id * 4)),\"temperature\":0,\"ignore_eos\":true}}"
done >"$work/in.jsonl"
texts() { sed -E 's/"(created|id)":("[^"]*"|[0-9]+)//g' "$1" | sort; }
batch() {  # NAME OPTIONS...
  local name=$1
  shift
  expect 0 "$@" batch "$work/tiny.gguf" --input "$work/in.jsonl" --output "$work/$name.jsonl" --progress none --set scheduler.max_tokens_per_step=32 "${options[@]}"
  [ "$(wc -l <"$work/$name.jsonl")" -eq 3 ] || fail "$name: not 3 results"
}
options=(--set cache.device=2MiB "${cpu[@]}")
batch cpu "$TERRACE"
options=(--set cache.device=2MiB "${cuda[@]}")
batch roomy "$TERRACE"
options=(--set cache.device=76KiB "${cuda[@]}")
batch tight mpirun -n 2 "$TERRACE"
for name in roomy tight; do
  [ "$(texts "$work/$name.jsonl" | grep -o '"text":"[^}]*"')" = "$(texts "$work/cpu.jsonl" | grep -o '"text":"[^}]*"')" ] || fail "batch $name: other texts than on the CPU"
done

expect 2 env CUDASIM_DEVICES=1 mpirun -n 2 "$TERRACE" "${ask[@]}" "${cuda[@]}"
says err "GPU of its own"
expect 2 env CUDASIM_DRIVER=0 "$TERRACE" "${ask[@]}" "${cuda[@]}"
says err "CUDA error 35"
expect 2 env CUDASIM_HOST_POINTERS=0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set cache.host=4MiB --set cache.in_place=true
says err "registered host memory at the host's addresses"
expect 0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set cache.host=4MiB --set cache.host_format=Q8  # pages are written through, in 8 bits
same "pages stored in 8 bits"
expect 2 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set cache.host=4MiB --set cache.host_format=Q8 --set cache.format=Q4
says err "set cache.host_format to same"
expect 0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set cache.device=76KiB --set cache.host=4MiB --set cache.in_place=true
same "pages read on the host"
expect 0 env CUDASIM_BATCHED_COPIES=0 "$TERRACE" "${ask[@]}" "${cuda[@]}" --set cache.device=76KiB --set cache.host=4MiB --set cache.in_place=true
same "pages copied one by one"
done_testing
