"""A vision transformer under the Trainer of transformers: python examples/hf_trainer.py
[--collapse]. The outputs of its last norm are tokens, in a collapse trained towards one point."""

import sys
import tempfile

import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from jepa_lab import Monitor
from jepa_lab.monitor.hf_trainer import CollapseCallback


class Collapsing(ViTForImageClassification):
    def forward(self, pixel_values, labels=None):  # type: ignore[no-untyped-def]
        return {"loss": (self.vit(pixel_values).last_hidden_state - 1).square().mean()}


def main(collapse: bool = False, steps: int = 150) -> CollapseCallback:
    torch.manual_seed(0)
    digits, size = load_digits(), {"image_size": 8, "patch_size": 2, "num_channels": 1}
    images = torch.from_numpy(digits.images)[:, None].float() / 16
    rows = [{"pixel_values": images[i], "labels": int(y)} for i, y in enumerate(digits.target)]
    width = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = ViTConfig(**size, **width, num_hidden_layers=2, num_labels=10)
    model = (Collapsing if collapse else ViTForImageClassification)(config)
    monitor = Monitor(every=30, role={"tokens": "tokens"})
    watching = CollapseCallback({"tokens": "vit.layernorm"}, monitor)
    with tempfile.TemporaryDirectory() as folder:
        options = {"learning_rate": 3e-3, "report_to": "none", "save_strategy": "no"}
        options |= {"max_steps": steps, "per_device_train_batch_size": 64}
        arguments = TrainingArguments(folder, **options)
        Trainer(model, arguments, train_dataset=rows, callbacks=[watching]).train()
    return watching


if __name__ == "__main__":
    main(collapse="--collapse" in sys.argv[1:])
