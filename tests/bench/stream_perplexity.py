#!/usr/bin/env python3
"""Perplexity far beyond a model's context, with attention.window and with or without sinks, by `terrace batch`.

    tests/bench/stream_perplexity.py build/cpu/terrace model.gguf [--text FILE] [--window 1024] [--tokens 100000]

Text: FILE, or what comes with Python, in a random order and each paragraph once: the reference of the language and the docstrings of the library.
Prints the perplexity of tokens 4,000-8,000 and of the last tenth; beside them that of the same tokens with full attention, as short sequences of
their own (each after 1,000 tokens more), to tell a model that has lost its thread from a text that is harder to guess.
"""
import argparse
import ast
import json
import math
import pathlib
import random
import subprocess
import sysconfig
import tempfile
import time

LEAD = 1000  # tokens before those that count, in the short sequences
PIECE = 4000


def reference_text():
    from pydoc_data.topics import topics
    documents = [topics[name] for name in sorted(topics)]
    for path in sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
        documents.append("\n\n".join(filter(None, map(ast.get_docstring, nodes))))
    random.Random(1).shuffle(documents)
    paragraphs = [paragraph.strip("\n") for document in documents for paragraph in document.split("\n\n")]
    return "\n\n".join(dict.fromkeys(paragraphs))


def score(arguments, settings, sequences):
    """Log-probabilities of all tokens but the first, a list for each sequence of ids; and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder, "in.jsonl"), pathlib.Path(folder, "out.jsonl")
        with source.open("w") as file:
            for i, ids in enumerate(sequences):
                body = {"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 0}
                file.write(json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/completions", "body": body}) + "\n")
        command = [arguments.terrace, "batch", arguments.model, "--input", source, "--output", result, "--set", "cache.device=256MiB"]
        for setting in settings:
            command += ["--set", setting]
        start = time.time()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        seconds = time.time() - start
        found = {}
        for line in result.open():
            item = json.loads(line)
            found[int(item["custom_id"])] = item["response"]["body"]["choices"][0]["logprobs"]["token_logprobs"][1:]
        return [found[i] for i in range(len(sequences))], seconds


def perplexity(logprobs):
    return math.exp(-sum(logprobs) / len(logprobs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("terrace")
    parser.add_argument("model")
    parser.add_argument("--text")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=100000)
    arguments = parser.parse_args()
    text = pathlib.Path(arguments.text).read_text() if arguments.text else reference_text()
    ids = json.loads(subprocess.run([arguments.terrace, "tokenize", arguments.model], input=text, capture_output=True, text=True, check=True).stdout)
    print(f"{len(ids)} tokens, of which the first {arguments.tokens}")
    ids = ids[:arguments.tokens]
    early, late = (4000, 8000), (len(ids) * 9 // 10, len(ids))

    pieces = [(begin, min(begin + PIECE, end)) for first, end in (early, late) for begin in range(first, end, PIECE)]
    alone, _ = score(arguments, [], [ids[begin - LEAD:end] for begin, end in pieces])
    full = [[], []]
    for (begin, end), logprobs in zip(pieces, alone):
        full[begin >= late[0]] += logprobs[begin - end:]
    base = [perplexity(part) for part in full]
    print("full attention, short sequences:  %8.3f  %8.3f  ratio %.3f" % (*base, base[1] / base[0]))

    for sinks in (4, 0):
        (logprobs,), seconds = score(arguments, [f"attention.window={arguments.window}", f"attention.sinks={sinks}"], [ids])
        own = [perplexity(logprobs[begin - 1:end - 1]) for begin, end in (early, late)]
        print("window %d, %d sinks:              %8.3f  %8.3f  ratio %.3f, against full attention %.3f  (%.0f s)" %
              (arguments.window, sinks, *own, own[1] / own[0], own[1] / own[0] / (base[1] / base[0]), seconds))


if __name__ == "__main__":
    main()
