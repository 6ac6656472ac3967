#!/usr/bin/env python3
"""Makes generation_gemma3.json and perplexity_gemma3.json again; see README.md.

    make_gemma_goldens.py gemma-3-270m-q4_k_m.gguf
"""

import hashlib
import pathlib
import sys

from gguf import GGUFReader

from make_goldens import Model, write_json
from prompts import ESSAY, PROMPTS

STEPS = 32
LONG_STEPS = 24  # of prompts longer than the sliding window of 512
PERPLEXITY_TOKENS = 1500


class SentencePiece:
    """SentencePiece's BPE by its definition: the neighbours whose joint token has the best score are joined, the leftmost of equals."""

    def __init__(self, path):
        fields = GGUFReader(path).fields
        values = lambda key: [fields[key].parts[i] for i in fields[key].data]
        tokens = [bytes(t).decode("utf-8", "replace") for t in values("tokenizer.ggml.tokens")]
        self.ids = {text: i for i, text in enumerate(tokens)}
        self.scores = [float(s[0]) for s in values("tokenizer.ggml.scores")]
        kinds = [int(k[0]) for k in values("tokenizer.ggml.token_type")]
        self.whole = sorted((t for t, kind in zip(tokens, kinds) if kind == 4), key=len, reverse=True)  # user-defined
        self.bos = int(fields["tokenizer.ggml.bos_token_id"].contents())

    def encode(self, text):
        ids, plain, i = [self.bos], "", 0
        while i < len(text):
            token = next((t for t in self.whole if text.startswith(t, i)), None)
            if token is None:
                plain += text[i]
                i += 1
            else:
                ids += self.join(plain) + [self.ids[token]]
                plain = ""
                i += len(token)
        return ids + self.join(plain)

    def join(self, text):
        pieces = list(text.replace(" ", "\u2581"))
        while True:
            joint = [(self.scores[self.ids[a + b]], -i) for i, (a, b) in enumerate(zip(pieces, pieces[1:])) if a + b in self.ids]
            if not joint:
                break
            i = -max(joint)[1]
            pieces[i:i + 2] = [pieces[i] + pieces[i + 1]]
        return [token for p in pieces for token in ([self.ids[p]] if p in self.ids else [self.ids[f"<0x{b:02X}>"] for b in p.encode()])]


def main():
    path = pathlib.Path(sys.argv[1])
    head = {"model_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    tokenizer, reference = SentencePiece(path), Model(path)
    rows = []
    for name, (text, _) in PROMPTS.items():
        if name.startswith("chat_"):
            continue  # a base model
        ids = tokenizer.encode(text)
        rows.append({"name": name, "text": text, "prompt_ids": ids, **reference.greedy(ids, LONG_STEPS if len(ids) > 512 else STEPS)})
        print(f"{name}: {len(ids)} tokens, smallest margin {min(rows[-1]['margins'])}", flush=True)
    write_json("generation_gemma3.json", head, "prompts", rows)

    ids = tokenizer.encode(ESSAY)[:PERPLEXITY_TOKENS]
    torch = reference.torch
    with torch.no_grad():
        hidden = reference.model.model(torch.tensor([ids[:-1]])).last_hidden_state[0]
        chosen = []
        for begin in range(0, len(hidden), 100):  # all logits at once take gigabytes
            logprobs = torch.log_softmax(reference.model.lm_head(hidden[begin:begin + 100]).double(), -1)
            chosen += logprobs.gather(1, torch.tensor(ids[1 + begin:1 + begin + len(logprobs)])[:, None])[:, 0].tolist()
    perplexity = float(torch.exp(-torch.tensor(chosen).mean()))
    print("perplexity", perplexity)
    write_json("perplexity_gemma3.json", {**head, "text_file": "essay.txt", "perplexity": round(perplexity, 6)}, "sequences",
               [{"ids": ids, "logprobs": [round(v, 5) for v in chosen]}])


if __name__ == "__main__":
    main()
