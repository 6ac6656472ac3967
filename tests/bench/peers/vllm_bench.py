"""One figure of vLLM over a checkpoint, as JSON on stdout's last line: {"load_s", "prompt_per_s", "decode_per_s", "generated_per_s"}.

usage: vllm_bench.py MODEL SEQUENCES PROMPT GENERATED      (environment: vllm_environment.py)

Random token ids, bfloat16, no prefix cache; after a warm-up of the same shape, since vLLM compiles for shapes that it meets.
"""
import json
import os
import random
import sys
import time

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
import vllm


def generate(model, sequences, prompt, generated, seed):
    """Seconds of it."""
    random.seed(seed)
    prompts = [{"prompt_token_ids": [random.randrange(1000, 40000) for _ in range(prompt)]} for _ in range(sequences)]
    began = time.monotonic()
    results = model.generate(prompts, vllm.SamplingParams(temperature=0, max_tokens=generated, ignore_eos=True), use_tqdm=False)
    seconds = time.monotonic() - began
    if any(len(result.outputs[0].token_ids) != generated for result in results):
        raise RuntimeError(f"{[len(result.outputs[0].token_ids) for result in results]} tokens instead of {generated}")
    return seconds


def main():
    path, sequences, prompt, generated = sys.argv[1], *map(int, sys.argv[2:])
    began = time.monotonic()
    model = vllm.LLM(model=path, dtype="bfloat16", max_model_len=prompt + generated, max_num_seqs=sequences, enable_prefix_caching=False, disable_log_stats=True)
    figures = {"load_s": time.monotonic() - began}
    generate(model, sequences, prompt, min(generated, 8), seed=1)
    seconds = generate(model, sequences, prompt, generated, seed=2)
    figures["generated_per_s"] = sequences * generated / seconds
    if sequences == 1:
        first = seconds if generated == 1 else generate(model, 1, prompt, 1, seed=3)
        figures["prompt_per_s"] = prompt / first
        if generated > 1:
            figures["decode_per_s"] = (generated - 1) / (seconds - first)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
