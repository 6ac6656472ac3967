# `terrace run` on the real model: what it prints, from a prompt, a pipe and several ranks; stops, seeds and signals.
source "$(dirname "$0")/lib.sh"
needs_model
terrace_run() { "$TERRACE" run "$TERRACE_TEST_MODEL" --progress none "$@"; }
export -f terrace_run

expect 0 terrace_run --raw -p "The capital of France is" --max-tokens 8
says out "Paris"
silent err
cp "$work/out" "$work/first"
expect 0 bash -c 'printf "The capital of France is" | terrace_run --raw --max-tokens 8'
cmp -s "$work/out" "$work/first" || fail "a piped prompt gives another text"
for ranks in 2 3 9; do
  expect 0 terrace_run --raw -p "The capital of France is" --max-tokens 8 --set parallel.ranks=$ranks
  cmp -s "$work/out" "$work/first" || fail "$ranks ranks give another text: $(cat "$work/out")"
done

expect 0 terrace_run -p "Name a colour." --max-tokens 30
[ -s "$work/out" ] || fail "no answer to a chat prompt"
expect 0 terrace_run --raw -p "1 2 3 4 5 6" --max-tokens 40 --stop " 9"
prints " 7 8"

expect 0 terrace_run -p "Tell a story." --max-tokens 20 --temperature 1 --seed 5
cp "$work/out" "$work/seeded"
expect 0 terrace_run -p "Tell a story." --max-tokens 20 --temperature 1 --seed 5
cmp -s "$work/out" "$work/seeded" || fail "the same seed gives another text"
expect 0 terrace_run -p "Tell a story." --max-tokens 20 --temperature 1 --seed 6
cmp -s "$work/out" "$work/seeded" && fail "another seed gives the same text"

# Ctrl-C once the answer has begun: exit 130, soon, with what was said so far on stdout.
mkfifo "$work/answer"
terrace_run -p "Tell a long story." --ignore-eos --max-tokens 4000 >"$work/answer" 2>"$work/err" &
victim=$!
exec 3<"$work/answer"
head -c 20 <&3 >/dev/null
kill -INT "$victim"
cat <&3 >/dev/null
wait "$victim"
[ $? -eq 130 ] || fail "Ctrl-C should exit with 130"
done_testing
