#!/usr/bin/env python3
"""Time to the first token where the prompt's pages lie in a colder tier, beside computing them again, as a Markdown table.

    tests/bench/tiers/first_token.py [--model FILE] [--tokens 4000] [--rounds 3]

Two documents are asked about in turn, one request at a time, over a device pool that holds one of them. Figures are medians over all but the first questions of
each, from the runs' own time-lines (`trace`). `disk`: the first questions of a second run, which finds the first one's file.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from run import KIB_PER_TOKEN, ROOT, write_questions


def first_token_ms(terrace, model, questions, settings, folder):
    trace, output = os.path.join(folder, "trace.json"), os.path.join(folder, "out.jsonl")
    command = [terrace, "batch", model, "--input", questions, "--output", output, "--max-in-flight", "1", "--progress", "none", "--set", f"trace={trace}"]
    for setting in settings:
        command += ["--set", setting]
    result = subprocess.run(command, capture_output=True, text=True)
    os.unlink(output)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{result.stderr[-2000:]}")
    events = json.load(open(trace))
    events = events["traceEvents"] if isinstance(events, dict) else events
    arrived = {e["id"]: e["ts"] for e in events if e.get("name") == "request" and e["ph"] == "b"}
    first = {e["id"]: e["ts"] for e in events if e.get("name") == "first token"}
    return [(first[i] - arrived[i]) / 1000 for i in sorted(arrived)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.path.expanduser("~/.cache/terrace/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--links", default="0,1GiB,300MiB,100MiB,30MiB,10MiB", help="bytes a second; 0: as fast as copying is")
    arguments = parser.parse_args()
    terrace = os.environ.get("TERRACE", os.path.join(ROOT, "build/cpu/terrace"))
    mib = int(arguments.tokens * KIB_PER_TOKEN / 1024)  # one document and its answer, not two
    device, host = [f"cache.device={mib}MiB"], [f"cache.host={4 * mib}MiB"]
    with tempfile.TemporaryDirectory() as folder:
        questions = os.path.join(folder, "in.jsonl")
        write_questions(questions, 2, arguments.tokens, arguments.questions)

        def run(*settings):
            return first_token_ms(terrace, arguments.model, questions, device + list(settings), folder)

        computed = statistics.median(run("cache.prefixes=false"))
        print(f"computed: {computed:.0f} ms\n\n| link, bytes/s | fetch: always | never | auto | auto / better of both | always / computed |\n|---|---:|---:|---:|---:|---:|")
        for link in arguments.links.split(","):
            times = {}
            for rule in ("always", "never", "auto"):
                times[rule] = statistics.median(run(*host, f"cache.link.bandwidth={link}", f"cache.fetch={rule}")[2:])
            print(f"| {link} | {times['always']:.0f} ms | {times['never']:.0f} ms | {times['auto']:.0f} ms | {times['auto'] / min(times['always'], times['never']):.2f} | "
                  f"{times['always'] / computed:.3f} |", flush=True)
        disk = [f"cache.host={mib}MiB", f"cache.disk.path={folder}/pages", f"cache.disk.size={4 * mib}MiB", "cache.fetch=always"]
        run(*disk)
        found = statistics.median(run(*disk)[:2])
        print(f"\ndisk: {found:.0f} ms, {found / computed:.3f} of computing")


if __name__ == "__main__":
    main()
