"""Times ADEval (pip install adeval) on the maps that evaluator_bench wrote: `time_adeval.py IMAGES.safetensors`.

Its two-pass mode (lowest and highest score, then 1000 bins) gives AUROC, AUPR and AUPRO. CPU seconds of the best
of five, on one thread, in the form of Google Benchmark's JSON.
"""
import json
import os
import struct
import sys
import time

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[library + "_NUM_THREADS"] = "1"

import adeval  # noqa: E402
import numpy as np  # noqa: E402

if not hasattr(np, "trapz"):  # ADEval 1.1 calls it by the name of NumPy 1.
    np.trapz = np.trapezoid

path = sys.argv[1]
with open(path, "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))


def tensor(name, dtype):
    entry = header[name]
    return np.memmap(path, dtype, "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"]))


maps, masks = np.array(tensor("map", np.float32)), np.array(tensor("mask", np.uint8))
runs = []
for repetition in range(5):
    start = time.process_time()
    adeval.auroc_aupr_aupro(list(maps), list(masks))
    runs.append({"run_name": "adeval/one", "run_type": "iteration", "cpu_time": time.process_time() - start,
                 "real_time": 0, "time_unit": "s", "units": float(maps.size)})
json.dump({"benchmarks": runs}, sys.stdout)
