#!/usr/bin/env python3
"""Makes the golden files of this folder again from the model and the reference programs; see README.md.

    make_goldens.py MODEL.gguf [tokenizer|generation|perplexity|embeddings|chat|dequantize ...]      default: all
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np

from prompts import CONVERSATIONS, ESSAY, PROMPTS
from tokenizer_texts import tokenizer_texts

HERE = pathlib.Path(__file__).parent
PERPLEXITY_TOKENS = 2000


def write_json(name, head, key, rows):
    """One row a line: small, and a change shows as a readable diff."""
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    text = json.dumps(head, separators=(",", ":"))[:-1] + f',"{key}":[\n{lines}\n]}}\n'
    (HERE / name).write_text(text, encoding="ascii")


class Tokenizer:
    """llama.cpp's tokenizer. (transformers rebuilds one from the GGUF that splits differently: no oracle.)"""

    def __init__(self, model_path):
        import llama_cpp
        self.lib = llama_cpp
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(str(model_path).encode(), params)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def encode(self, text, parse_special=True):
        data = text.encode("utf-8")
        ids = (self.lib.llama_token * (len(data) + 16))()
        count = self.lib.llama_tokenize(self.vocab, data, len(data), ids, len(ids), True, parse_special)
        assert count >= 0
        return list(ids[:count])


class Model:
    """transformers in float32 on the dequantised weights."""

    def __init__(self, model_path):
        import torch
        from transformers import AutoModelForCausalLM
        self.torch = torch
        self.model = AutoModelForCausalLM.from_pretrained(
            str(model_path.parent), gguf_file=model_path.name, dtype=torch.float32, attn_implementation="eager").eval()

    def logits(self, ids, past=None):
        with self.torch.no_grad():
            return self.model(self.torch.tensor([ids]), past_key_values=past, use_cache=True)

    def hidden_states(self, ids):
        """After the final norm, [tokens, hidden]."""
        with self.torch.no_grad():
            return self.model.model(self.torch.tensor([ids])).last_hidden_state[0].double()

    def greedy(self, prompt_ids, num_steps):
        """End-of-sequence tokens do not stop it."""
        row = {"tokens": [], "logprobs": [], "margins": [], "top5_ids": [], "top5_logprobs": []}
        out = self.logits(prompt_ids)
        for step in range(num_steps):
            values, ids = self.torch.log_softmax(out.logits[0, -1].double(), -1).topk(5)
            values = [round(v, 5) for v in values.tolist()]
            row["tokens"].append(int(ids[0]))
            row["logprobs"].append(values[0])
            row["margins"].append(round(values[0] - values[1], 5))
            row["top5_ids"].append(ids.tolist())
            row["top5_logprobs"].append(values)
            if step + 1 < num_steps:
                out = self.logits([int(ids[0])], out.past_key_values)
        return row


def make_tokenizer(args):
    with open(HERE / "tokenizer_smollm2.jsonl", "w", encoding="ascii") as out:
        for text in tokenizer_texts():
            row = {"text": text, "ids": args.tokenizer.encode(text), "ids_plain": args.tokenizer.encode(text, False)}
            out.write(json.dumps(row, separators=(",", ":")) + "\n")


def make_generation(args):
    rows = []
    for name, (text, num_steps) in PROMPTS.items():
        ids = args.tokenizer.encode(text)
        rows.append({"name": name, "text": text, "prompt_ids": ids, **args.reference.greedy(ids, num_steps)})
        print(f"{name}: {len(ids)} tokens, smallest margin {min(rows[-1]['margins'])}", flush=True)
    write_json("generation_smollm2.json", args.head, "prompts", rows)


def make_perplexity(args):
    ids = args.tokenizer.encode(ESSAY)[:PERPLEXITY_TOKENS]
    assert len(ids) == PERPLEXITY_TOKENS
    torch = args.reference.torch
    logprobs = torch.log_softmax(args.reference.logits(ids).logits[0, :-1].double(), -1)
    chosen = logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    head = {**args.head, "text_file": "essay.txt", "perplexity": round(float(torch.exp(-chosen.mean())), 6)}
    print("perplexity", head["perplexity"])
    write_json("perplexity_smollm2.json", head, "sequences",
               [{"ids": ids, "logprobs": [round(v, 5) for v in chosen.tolist()]}])


def make_embeddings(args):
    """Of every fifth prompt of generation_smollm2.json in order of length, the shortest and the longest among them."""
    prompts = sorted(json.loads((HERE / "generation_smollm2.json").read_text())["prompts"], key=lambda prompt: len(prompt["prompt_ids"]))
    unit = args.reference.torch.nn.functional.normalize
    rows = []
    for prompt in prompts[::5]:
        states = args.reference.hidden_states(prompt["prompt_ids"])
        rows.append({"name": prompt["name"], "ids": prompt["prompt_ids"]})
        for pooling, vector in ("mean", states.mean(0)), ("last", states[-1]):
            rows[-1][pooling] = [round(v, 5) for v in unit(vector, dim=0).tolist()]
    write_json("embeddings_smollm2.json", args.head, "texts", rows)


def make_chat(args):
    """The GGUF's own template by jinja2, in the environment that transformers' apply_chat_template uses."""
    import jinja2.sandbox
    from gguf import GGUFReader
    source = GGUFReader(args.model).fields["tokenizer.chat_template"].contents()
    template = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    rows = []
    for messages in CONVERSATIONS:
        for generation in (True, False):
            text = template.render(messages=messages, add_generation_prompt=generation)
            rows.append({"messages": messages, "add_generation_prompt": generation, "text": text,
                         "ids": args.tokenizer.encode(text)})
    write_json("chat_smollm2.json", {"template": source}, "conversations", rows)


def random_blocks(dtype, rng):
    """Two valid blocks: quantised from floats where gguf can, else random bytes with sane scales."""
    from gguf import GGML_QUANT_SIZES, quants
    elements, num_bytes = GGML_QUANT_SIZES[dtype]
    try:
        floats = rng.normal(0, 0.5, 2 * max(elements, 8)).astype(np.float32)
        return quants.quantize(floats, dtype).view(np.uint8)
    except NotImplementedError:
        scale_offsets = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[dtype.name]
        blocks = rng.integers(0, 256, (2, num_bytes), dtype=np.uint8)
        for offset in scale_offsets:
            blocks[:, offset:offset + 2] = rng.uniform(0.001, 0.02, (2, 1)).astype(np.float16).view(np.uint8)
        return blocks.reshape(-1)


def make_dequantize(args):
    import gguf
    rng = np.random.default_rng(20261122)
    rows = []
    for name in ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]:
        dtype = gguf.GGMLQuantizationType[name]
        data = random_blocks(dtype, rng)
        values = gguf.quants.dequantize(data, dtype).astype(np.float32).reshape(-1)
        rows.append({"dtype": name, "gguf_type": int(dtype), "hex": data.tobytes().hex(),
                     "values": [float(np.format_float_scientific(v, precision=8)) for v in values]})
        assert all(np.float32(v) == w for v, w in zip(rows[-1]["values"], values))
    write_json("dequantize.json", {"gguf_py": True}, "formats", rows)


MAKERS = {"tokenizer": make_tokenizer, "generation": make_generation, "perplexity": make_perplexity, "embeddings": make_embeddings,
          "chat": make_chat, "dequantize": make_dequantize}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("what", nargs="*", metavar="what", help=", ".join(MAKERS))
    args = parser.parse_args()
    what = args.what or list(MAKERS)
    if unknown := set(what) - set(MAKERS):
        parser.error(f"nothing called {sorted(unknown)}; there are {list(MAKERS)}")
    args.head = {"model": args.model.name, "model_sha256": hashlib.sha256(args.model.read_bytes()).hexdigest()}
    if set(what) - {"embeddings", "dequantize"}:
        args.tokenizer = Tokenizer(args.model)
    if set(what) & {"generation", "perplexity", "embeddings"}:
        args.reference = Model(args.model)
    for name in what:
        MAKERS[name](args)


if __name__ == "__main__":
    main()
