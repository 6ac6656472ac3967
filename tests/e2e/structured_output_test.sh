# Answers of a given form on the real model, by `terrace batch`: a schema, JSON mode, required calls of functions, on one rank and two; and what is refused.
source "$(dirname "$0")/lib.sh"
needs_model

chat() { echo "{\"custom_id\":\"$1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{\"role\":\"user\",\"content\":\"$2\"}],$3}}"; }
person='{"type":"object","properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer","minimum":0,"maximum":130},"colour":{"enum":["red","green"]}},
  "required":["name","age","colour"],"additionalProperties":false}'
person=$(tr -d '\n' <<<"$person")
schema="\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"person\",\"strict\":true,\"schema\":$person}}"
tools="\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"paint\",\"parameters\":$person}},{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]"
{
  chat greedy "Describe a person." "$schema,\"max_tokens\":200,\"temperature\":0"
  chat sampled "Describe a person." "$schema,\"max_tokens\":200,\"n\":4"
  chat object "A JSON object, please." '"response_format":{"type":"json_object"},"max_tokens":300,"temperature":0.3'
  chat one_call "Paint Ann, 30, in red." "$tools,\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"paint\"}},\"max_tokens\":200"
  chat free "Why is the sky blue?" '"response_format":{"type":"text"},"max_tokens":8,"temperature":0'
  chat wrong "Hello" '"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"foo"}}}'
  chat unseen "Hello" "$tools"
} >"$work/in.jsonl"
batch=("$TERRACE" batch "$TERRACE_TEST_MODEL" --input "$work/in.jsonl" --order input --progress none)

expect 0 "${batch[@]}" --output "$work/one.jsonl"
if grep -q "built without xgrammar" "$work/one.jsonl"; then
  echo "skipped: built without xgrammar (scripts/setup.sh fetches it)"
  exit 77
fi
cat >"$work/check.py" <<'END'
import json, sys

lines = {}
for line in open(sys.argv[1]):
    result = json.loads(line)
    lines[result["custom_id"]] = result["response"]

def check_person(text):
    person = json.loads(text)
    assert list(person) == ["name", "age", "colour"], text
    assert isinstance(person["name"], str) and 0 <= person["age"] <= 130 and person["colour"] in ("red", "green"), text

for name, count in (("greedy", 1), ("sampled", 4)):
    choices = lines[name]["body"]["choices"]
    assert len(choices) == count and all(choice["finish_reason"] == "stop" for choice in choices), choices
    for choice in choices:
        check_person(choice["message"]["content"])
assert len({choice["message"]["content"] for choice in lines["sampled"]["body"]["choices"]}) > 1
choice = lines["object"]["body"]["choices"][0]
if choice["finish_reason"] == "stop":
    assert isinstance(json.loads(choice["message"]["content"]), dict)
else:
    assert choice["message"]["content"].startswith("{")
choice = lines["one_call"]["body"]["choices"][0]
assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None, choice
call, = choice["message"]["tool_calls"]
assert call["type"] == "function" and call["id"].startswith("call_") and call["function"]["name"] == "paint", call
check_person(call["function"]["arguments"])
assert "tool_calls" not in lines["free"]["body"]["choices"][0]["message"]
for name, param, code in (("wrong", "response_format", "invalid_value"), ("unseen", "tools", "model_unsupported")):
    error = lines[name]["body"]["error"]
    assert lines[name]["status_code"] == 400 and error["param"] == param and error["code"] == code, error
END

expect 0 "${batch[@]}" --output "$work/two.jsonl" --set parallel.ranks=2
for ranks in one two; do
  python3 "$work/check.py" "$work/$ranks.jsonl" || fail "$ranks: $(cat "$work/$ranks.jsonl")"
done
greedy() { grep '"greedy"' "$work/$1.jsonl" | sed -E 's/"created":[0-9]+//'; }
[ "$(greedy one)" = "$(greedy two)" ] || fail "two ranks give another text: $(greedy two)"

done_testing
