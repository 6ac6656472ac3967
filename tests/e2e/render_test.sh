# `terrace render`: the exact prompt text, nothing added; ids, lines, a template of its own, and wrong requests.
source "$(dirname "$0")/lib.sh"
request='{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}'

printf '{%% for m in messages %%}[{{ m.role }}]{{ bos_token }}{{ m.content }}{%% endfor %%}{{ strftime_now("%%H:%%M") }}' >"$work/t.jinja"
own=(render --template "$work/t.jinja" --bos "<s>" --eos "</s>" --now 2025-03-14T09:26:53)
expect 0 bash -c 'printf %s "$0" | "$@"' "$request" "$TERRACE" "${own[@]}"
[ "$(od -c "$work/out")" = "$(printf '[user]<s>Hi09:26' | od -c)" ] || fail "wrong text: $(cat "$work/out")"
expect 0 bash -c 'printf "%s\nnonsense\n" "$0" | "$@"' "$request" "$TERRACE" "${own[@]}" --jsonl
[ "$(head -1 "$work/out")" = '"[user]<s>Hi09:26"' ] || fail "wrong line: $(cat "$work/out")"
[ "$(sed -n 2p "$work/out" | cut -c1-9)" = '{"error":' ] || fail "wrong error line: $(cat "$work/out")"
expect 2 bash -c 'echo nonsense | "$@"' - "$TERRACE" "${own[@]}"
says err "not JSON"
expect 2 "$TERRACE" render --template "$work/t.jinja" --now yesterday
says err "expected a time like"
expect 2 "$TERRACE" render
says err "--template FILE"

needs_model
expect 0 bash -c 'printf %s "$0" | "$@"' "$request" "$TERRACE" render "$TERRACE_TEST_MODEL"
says out "<|im_start|>user"
[ "$(tail -c 1 "$work/out" | od -An -c | tr -d ' ')" = '\n' ] || fail "the template of SmolLM2 ends in a line feed"
expect 0 bash -c 'printf %s "$0" | "$@"' "$request" "$TERRACE" render "$TERRACE_TEST_MODEL" --ids
[ "$(cut -c1-3 "$work/out")" = "[1," ] || fail "expected ids from <|im_start|> on: $(cat "$work/out")"
done_testing
