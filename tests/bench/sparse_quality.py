#!/usr/bin/env python3
"""What sparse reading (attention.sparse) costs in quality, beside the share of pages that is read and the speed, as a Markdown table.

    tests/bench/sparse_quality.py build/cpu/terrace model.gguf [--tokens 7000] [--settings LIST] [--set KEY=VALUE ...]

Three tasks, of dense reading first and then of each setting (`top:K`, `bounded:K:EPSILON`):
- text: the last quarter of texts of so many tokens (tests/bench/stream_perplexity.py says which), scored as if it were generated: perplexity over that of
  dense reading, and the mean divergence from it, nats, over its 20 likeliest tokens;
- needle: a pass key, hidden at random in a long text of other paragraphs, is asked for at its end: share that answers right, greedily;
- aggregation: a long list of words, one of them four times as frequent as any other: share that names it, greedily.
Speed: of 100 tokens generated after a text, over dense reading's, by turns.
"""
import argparse
import json
import math
import pathlib
import random
import re
import statistics
import subprocess
import tempfile

from stream_perplexity import reference_text

WORDS = "amber basin cedar delta ember fjord grove haven islet jetty knoll ledge marsh north orbit plume quartz ridge stone tower".split()


def batch(arguments, settings, bodies):
    """The answers' bodies, in order, and what the run said of itself."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder, "in.jsonl"), pathlib.Path(folder, "out.jsonl")
        with source.open("w") as file:
            for i, body in enumerate(bodies):
                file.write(json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/completions", "body": body}) + "\n")
        command = [arguments.terrace, "batch", arguments.model, "--input", source, "--output", result]
        for setting in settings + arguments.set:
            command += ["--set", setting]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise SystemExit(run.stderr[-2000:])
        found = {}
        for line in result.open():
            item = json.loads(line)
            found[int(item["custom_id"])] = item["response"]["body"]
        return [found[i] for i in range(len(bodies))], run.stderr


def share_read(log):
    found = re.search(r"sparse: \d+ of \d+ pages read \(([\d.]+) %\)", log)
    return float(found.group(1)) if found else 100.0


def bound(log):
    found = re.search(r"proven to hold at most ([\d.e-]+)", log)
    return found.group(1) if found else ""


def tokenize(arguments, text):
    return json.loads(subprocess.run([arguments.terrace, "tokenize", arguments.model], input=text, capture_output=True, text=True, check=True).stdout)


def score(arguments, settings, texts, scored_from):
    bodies = [{"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 20} for ids in texts]
    answers, log = batch(arguments, settings, bodies)
    tokens, tops = [], []
    for answer in answers:
        logprobs = answer["choices"][0]["logprobs"]
        tokens += logprobs["token_logprobs"][scored_from:]
        tops += logprobs["top_logprobs"][scored_from:]
    return tokens, tops, log


def divergence(base, other):
    """Of two top lists: what not both name counts as one token."""
    total, base_rest, other_rest = 0.0, 1.0, 1.0
    for token in base.keys() & other.keys():
        p = math.exp(base[token])
        total += p * (base[token] - other[token])
        base_rest -= p
        other_rest -= math.exp(other[token])
    return total + base_rest * math.log(base_rest / other_rest) if base_rest > 1e-6 and other_rest > 1e-6 else total


def needles(arguments, filler, chooser):
    bodies, keys = [], []
    for _ in range(arguments.cases):
        key = str(chooser.randrange(10000, 100000))
        hay = filler[chooser.randrange(len(filler) // 2):]
        text = hay[:arguments.tokens * 7 // 2].split("\n\n")  # about 3.5 characters a token
        text.insert(chooser.randrange(1, len(text) * 9 // 10), f"The pass key is {key}. Remember it. {key} is the pass key.")
        bodies.append({"prompt": "\n\n".join(text) + "\n\nWhat is the pass key? The pass key is", "max_tokens": 8, "temperature": 0})
        keys.append(key)
    return bodies, keys


def lists(arguments, chooser):
    bodies, words = [], []
    for _ in range(arguments.cases):
        word = chooser.choice(WORDS)
        items = [other for other in WORDS if other != word] * (arguments.tokens // 100) + [word] * (arguments.tokens * 4 // 100)
        chooser.shuffle(items)
        text = "\n".join(items[:arguments.tokens * 3 // 10])
        bodies.append({"prompt": f"Below is a list of words.\n\n{text}\n\nThe word that comes most often in the list is:", "max_tokens": 4, "temperature": 0})
        words.append(word)
    return bodies, words


def answered(arguments, settings, bodies, keys):
    answers, log = batch(arguments, settings, bodies)
    right = sum(key in answer["choices"][0]["text"] for answer, key in zip(answers, keys))
    return right / len(keys), share_read(log) / 100


def tokens_per_second(arguments, settings, text):
    command = [arguments.terrace, "run", arguments.model, "--raw", "--max-tokens", "100", "--progress", "plain"]
    for setting in settings + arguments.set:
        command += ["--set", setting]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return float(re.search(r"generated \(([\d.]+) tok/s\)", run.stderr).group(1))


def settings_of(name):
    mode, *rest = name.split(":")
    if mode == "off":
        return []
    settings = [f"attention.sparse.mode={mode}", f"attention.sparse.pages={rest[0]}"]
    return settings + [f"attention.sparse.epsilon={rest[1]}"] if mode == "bounded" else settings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("terrace")
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=7000, help="of a text")
    parser.add_argument("--texts", type=int, default=2)
    parser.add_argument("--cases", type=int, default=10, help="of needle and aggregation")
    parser.add_argument("--rounds", type=int, default=2, help="of the speed")
    parser.add_argument("--settings", default="top:8,top:32,top:64,top:128,bounded:32:0.01,bounded:32:0.3")
    parser.add_argument("--tasks", default="text,needle,aggregation,speed")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    names = [name for name in arguments.settings.split(",") if name]
    chooser = random.Random(1)
    filler = reference_text()
    ids = tokenize(arguments, filler)
    texts = [ids[i * arguments.tokens:(i + 1) * arguments.tokens] for i in range(arguments.texts)]
    scored_from = arguments.tokens * 3 // 4
    needle, aggregation = needles(arguments, filler, chooser), lists(arguments, chooser)
    spoken = filler[:arguments.tokens * 3]  # fewer tokens than a text

    tasks = arguments.tasks.split(",")
    base, base_tops, _ = score(arguments, [], texts, scored_from) if "text" in tasks else (None, None, None)
    print("| reading | pages read | perplexity | divergence | left out at most | needle (pages) | aggregation (pages) | tokens/s |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in ["off"] + names:
        settings = settings_of(name)
        cells = [name]
        if "text" in tasks:
            scoring = settings + [f"attention.sparse.prompts_from={scored_from}"] if settings else []
            tokens, tops, log = score(arguments, scoring, texts, scored_from)
            ratio = math.exp(statistics.fmean(base) - statistics.fmean(tokens))
            kl = statistics.fmean(divergence(a, b) for a, b in zip(base_tops, tops))
            cells += [f"{share_read(log):.1f} %", f"{ratio:.4f}", f"{kl:.4f}", bound(log)]
        else:
            cells += ["", "", "", ""]
        for task, cases in (("needle", needle), ("aggregation", aggregation)):
            cells.append("%.0f %% (%.0f %%)" % tuple(100 * share for share in answered(arguments, settings, *cases)) if task in tasks else "")
        if "speed" in tasks:
            speeds = [tokens_per_second(arguments, settings, spoken) / tokens_per_second(arguments, [], spoken) for _ in range(arguments.rounds)]
            cells.append(f"{statistics.median(speeds):.2f}")
        else:
            cells.append("")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
