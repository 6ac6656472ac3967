#!/usr/bin/env python3
"""What the tiered KV cache is worth: the same batch of questions about long documents with caches of several shapes, by turns, as a Markdown table.

    tests/bench/tiers/run.py [--model FILE] [--documents 8] [--tokens 5000] [--questions 40] [--rounds 1] [--rows LIST] [--link 170MiB]

Questions go round the documents, so that a document has always gone cold when it is asked about again. Every run is a fresh `terrace batch`; the texts of
all runs must be equal. The working set is what the documents' pages take; a row named 4x has a device pool of a quarter of it.
"""
import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
KIB_PER_TOKEN = 22.5  # SmolLM2-135M in F16: 30 layers x (K, V) x 3 heads x 64 x 2 bytes
TOKENS_PER_LINE = 25
WORDS = "amber basin cedar delta ember fjord grove haven islet jetty knoll ledge marsh north orbit plume quartz ridge stone tower".split()


def write_questions(path, documents, tokens, questions):
    lines = tokens // TOKENS_PER_LINE
    with open(path, "w") as out:
        for i in range(questions):
            d = i % documents
            text = "\n".join(f"Line {n} of report {d}: station {WORDS[(n * 7 + d) % 20]} measured {(n * 37 + d * 11) % 1000} units." for n in range(lines))
            question = f"{text}\n\nQuestion {i // documents}: what did line {(i * 53) % lines} say? Answer in one sentence."
            body = {"model": "m", "max_tokens": 16, "temperature": 0, "messages": [{"role": "user", "content": question}]}
            out.write(json.dumps({"custom_id": f"q{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n")


def run(terrace, model, questions, settings):
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "out.jsonl")
        command = [terrace, "batch", model, "--input", questions, "--output", output]
        for setting in settings:
            command += ["--set", setting]
        started = time.monotonic()
        result = subprocess.run(command, capture_output=True, text=True)
        seconds = time.monotonic() - started
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{result.stderr[-2000:]}")
        answers = {}
        for line in open(output):
            answer = json.loads(line)
            if answer["response"]["status_code"] != 200:
                sys.exit(f"{' '.join(command)}\n{answer}\nLeave this row out (--rows), or ask about shorter documents.")
            answers[answer["custom_id"]] = answer["response"]["body"]["choices"][0]["message"]["content"]
        digest = hashlib.md5(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:8]
        kv = next((line for line in result.stderr.splitlines() if re.search(r"\bKV:", line)), "")
        return seconds, digest, kv


def rows_of(arguments, working_set):
    resident = [f"cache.device={working_set * 3 // 2}MiB"]
    host = f"cache.host={working_set * 3 // 2}MiB"
    link = f"cache.link.bandwidth={arguments.link}"
    rows = {"resident": resident, "no-prefixes": resident + ["cache.prefixes=false"]}
    for factor in (4, 10):
        small = [f"cache.device={working_set // factor}MiB"]
        rows[f"{factor}x"] = small + [host]
        rows[f"{factor}x-link"] = small + [host, link]
        rows[f"{factor}x-in-place"] = small + [host, "cache.in_place=true"]
        rows[f"{factor}x-no-host"] = small
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.path.expanduser("~/.cache/terrace/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=5000, help="of a document, about")
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--link", default="170MiB", help="bytes a second of the modelled link: a sixtieth of what one core reads here")
    parser.add_argument("--rows", default="", help="names with commas between; all without")
    arguments = parser.parse_args()
    terrace = os.environ.get("TERRACE", os.path.join(ROOT, "build/cpu/terrace"))
    working_set = int(arguments.documents * arguments.tokens * KIB_PER_TOKEN / 1024)
    rows = rows_of(arguments, working_set)
    wanted = [name for name in arguments.rows.split(",") if name] or list(rows)
    samples = {name: [] for name in wanted}
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as questions:
        write_questions(questions.name, arguments.documents, arguments.tokens, arguments.questions)
        for r in range(arguments.rounds):
            for name in wanted:
                samples[name].append(run(terrace, arguments.model, questions.name, rows[name]))
                print(f"tiers: round {r + 1}, {name}: {samples[name][-1][0]:.1f} s", file=sys.stderr)
    digests = {digest for runs in samples.values() for _, digest, _ in runs}
    resident = statistics.median(s for s, _, _ in samples["resident"]) if "resident" in samples else float("nan")
    print(f"{arguments.questions} questions over {arguments.documents} documents of about {arguments.tokens} tokens, working set {working_set} MiB, "
          f"texts {'equal in all runs' if len(digests) == 1 else 'DIFFER'}\n")
    print("| cache | seconds | of resident's speed | KV |\n|---|---:|---:|---|")
    for name, runs in samples.items():
        seconds = statistics.median(s for s, _, _ in runs)
        print(f"| {name} | {seconds:.1f} | {resident / seconds:.2f} | {runs[-1][2].strip()} |")
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
