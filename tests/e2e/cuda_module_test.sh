# The real CUDA module, linked with NVIDIA's libraries, on a machine without a device: it opens, links, says what is missing in a sentence and goes in
# good order. With a device scripts/test_gpu.sh does more.
# needs: mpirun
source "$(dirname "$0")/lib.sh"
module=$(dirname "$TERRACE")/libterrace_cuda.so
[ -f "$module" ] || { echo "skipped: the CUDA module was not built (it needs nvcc, cuBLAS and NCCL)"; exit 77; }
[ ! -e /dev/nvidiactl ] || { echo "skipped: there is a GPU here; see scripts/test_gpu.sh"; exit 77; }
unset TERRACE_CUDA_MODULE
printf 'model:\n  load: dummy\n' >"$work/dummy.yaml"
ask=(run "$work/dummy.yaml" --raw -p ab --max-tokens 2 --progress none)

undefined=$(ldd -r "$module" 2>&1 | grep -E "undefined symbol|not found" | c++filt | head -3)
[ -z "$undefined" ] || fail "the module does not link: $undefined"

expect 2 "$TERRACE" "${ask[@]}" --set backend=cuda
[ "$(grep -cE 'CUDA error (35|100)' "$work/err")" -eq 1 ] || fail "no sentence about the driver: $(cat "$work/err")"
says err "say backend: cpu"
expect 2 mpirun -n 2 "$TERRACE" "${ask[@]}" --set backend=cuda
[ "$(grep -c ' error: ' "$work/err")" -eq 1 ] || fail "one mistake, one message: $(cat "$work/err")"

# auto: the CPU, without a word where there is no driver; with one where the module was asked for by name.
expect 0 "$TERRACE" "${ask[@]}"
silent err
expect 0 env TERRACE_CUDA_MODULE="$module" "$TERRACE" "${ask[@]}"
says err "going on with the CPU"

expect 2 env TERRACE_CUDA_MODULE=/no/such.so "$TERRACE" "${ask[@]}" --set backend=cuda
says err "/no/such.so"
printf 'int main() { return 0; }' >"$work/other.c"
if cc -shared -fPIC -o "$work/other.so" "$work/other.c" 2>/dev/null; then
  expect 2 env TERRACE_CUDA_MODULE="$work/other.so" "$TERRACE" "${ask[@]}" --set backend=cuda
  says err "of another build"
fi
done_testing
