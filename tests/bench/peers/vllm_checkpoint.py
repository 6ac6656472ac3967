"""Writes a GGUF file's weights as a Hugging Face checkpoint in bfloat16, which is what vLLM reads on a CPU. Run by install_vllm.sh.

usage: vllm_checkpoint.py MODEL.gguf FOLDER
"""
import os
import sys

import torch
import transformers

source, folder = sys.argv[1:]
place = {"pretrained_model_name_or_path": os.path.dirname(source), "gguf_file": os.path.basename(source)}
model = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16)
# The weights are plain tensors by now; what says otherwise would forbid saving them.
model.hf_quantizer, model.is_quantized = None, False
if hasattr(model.config, "quantization_config"):
    del model.config.quantization_config
model.save_pretrained(folder)
transformers.AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
