# `terrace run` under mpirun: the same bytes on stdout as without, one message for one mistake, and all ranks gone at the end.
# needs: mpirun
source "$(dirname "$0")/lib.sh"
needs_model
options=(--raw -p "The capital of France is" --max-tokens 16 --progress none)

expect 0 "$TERRACE" run "$TERRACE_TEST_MODEL" "${options[@]}"
cp "$work/out" "$work/alone"
for ranks in 1 2 3; do
  expect 0 mpirun -n $ranks "$TERRACE" run "$TERRACE_TEST_MODEL" "${options[@]}"
  cmp -s "$work/out" "$work/alone" || fail "mpirun -n $ranks gives another text: $(cat "$work/out")"
done
expect 0 mpirun -n 2 "$TERRACE" run "$TERRACE_TEST_MODEL" "${options[@]}" --set comm.pretend_hosts=2
cmp -s "$work/out" "$work/alone" || fail "the cross-host path gives another text: $(cat "$work/out")"
expect 0 bash -c 'printf "The capital of France is" | mpirun -n 2 "$0" run "$1" --raw --max-tokens 16 --progress none' "$TERRACE" "$TERRACE_TEST_MODEL"
cmp -s "$work/out" "$work/alone" || fail "a piped prompt gives another text"

expect 2 mpirun -n 2 "$TERRACE" run "$TERRACE_TEST_MODEL" -p x --set cache.page_tokens=17
[ "$(grep -c 'terrace: error' "$work/err")" -eq 1 ] || fail "one mistake, one message: $(cat "$work/err")"
expect 3 mpirun -n 2 "$TERRACE" run /no/such.gguf -p x
says err "/no/such.gguf"
expect 2 mpirun -n 10 "$TERRACE" run "$TERRACE_TEST_MODEL" -p x
says err "9"
for verb in inspect "tokenize --decode"; do
  expect 0 bash -c "echo '[1]' | mpirun -n 2 \"\$0\" ${verb} \"\$1\"" "$TERRACE" "$TERRACE_TEST_MODEL"
  [ -s "$work/out" ] || fail "$verb says nothing under mpirun"
done
done_testing
