"""Where vLLM lies and how it is started on this machine's processors; for compare.py and serve.py. VLLM_FOLDER: the virtual environment that install_vllm.sh made."""
import os


def folder():
    """None where vLLM is not installed."""
    return os.environ.get("VLLM_FOLDER") or None


def python():
    return os.path.join(folder(), "bin/python")


def model():
    """The GGUF's weights as a Hugging Face checkpoint in bfloat16."""
    return os.path.join(folder(), "model")


def environment(threads):
    cores = sorted(os.sched_getaffinity(0))[:threads]
    return {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)), "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1",
            "PATH": f"{os.path.join(folder(), 'bin')}:{os.environ['PATH']}"}
