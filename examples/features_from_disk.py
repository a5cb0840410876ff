"""Features that other code saved, one file for each checkpoint: python
examples/features_from_disk.py [--collapse]. In a collapse all directions but one die, and with them
what tells the digits apart."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main(collapse: bool = False) -> str:
    images = load_digits().data / 16
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(64, 32))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"epoch_{epoch:02d}.npz" for epoch in range(0, 50, 10)]
        for epoch, file in zip(range(0, 50, 10), files, strict=True):
            scale = np.ones(32)
            scale[1:] = 10.0 ** (-epoch / 10) if collapse else 1.0
            noise = 0.02 * rng.normal(size=(len(images), 32))  # as of dropout or low precision
            np.savez(file, embeddings=images @ weights * scale + noise, labels=load_digits().target)
        command = [sys.executable, "-m", "jepa_lab.diagnose", *map(str, files)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(answer)
    return answer


if __name__ == "__main__":
    main(collapse="--collapse" in sys.argv[1:])
