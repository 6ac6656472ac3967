"""One figure of OpenVINO GenAI over a GGUF, as JSON on stdout: {"load_s", "prompt_per_s", "decode_per_s", "generated_per_s"}.

usage: openvino_bench.py MODEL THREADS SEQUENCES PROMPT GENERATED      (OPENVINO_FOLDER: where it was installed)

Random token ids, the pipeline's default (paged, continuous batching) back end. A prompt is never the beginning of an earlier one, since the
pipeline keeps prefixes.
"""
import json
import os
import random
import sys
import time

sys.path.insert(0, os.environ["OPENVINO_FOLDER"])
import numpy
import openvino
import openvino_genai


def generate(pipeline, sequences, prompt, generated, seed):
    random.seed(seed)
    ids = numpy.array([[random.randrange(1000, 40000) for _ in range(prompt)] for _ in range(sequences)], dtype=numpy.int64)
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = generated
    config.ignore_eos = True
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
    began = time.monotonic()
    result = pipeline.generate(inputs, config)
    seconds = time.monotonic() - began
    if any(len(tokens) != generated for tokens in result.tokens):
        raise RuntimeError(f"{[len(tokens) for tokens in result.tokens]} tokens instead of {generated}")
    return seconds, result.perf_metrics


def main():
    model, threads, sequences, prompt, generated = sys.argv[1], *map(int, sys.argv[2:])
    began = time.monotonic()
    pipeline = openvino_genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
    load = time.monotonic() - began
    generate(pipeline, 1, 128, 8, seed=1)  # warm-up
    seconds, metrics = generate(pipeline, sequences, prompt, generated, seed=2)
    figures = {"load_s": load, "generated_per_s": sequences * generated / seconds}
    if sequences == 1:
        figures["prompt_per_s"] = prompt / (metrics.get_ttft().mean / 1000)
        if generated > 1:
            figures["decode_per_s"] = 1000 / metrics.get_tpot().mean
    print(json.dumps(figures))


main()
