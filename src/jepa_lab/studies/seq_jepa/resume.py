"""The planner of seq-JEPA: loads the images of a run and describes them before training."""

from __future__ import annotations

from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.errors import UserError
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training.resume import Planner


class SeqJEPAPlanner(Planner):
    """Plans a run on images, split into train, val and test."""

    def load(self, config: Config) -> Splits:
        d = config.dataset
        splits = load_splits(
            d.source if isinstance(d.source, str) else d.source.load,
            root=d.root,
            path=d.path,
            image_size=d.image_size,
            train_size=d.train_size,
            val_size=d.val_size,
            saliency_path=d.saliency_path,
            with_maps=d.saliency == "file",
        )
        n = len(splits.train.images)
        if n < d.batch_size:
            raise UserError(
                f"dataset.batch_size={d.batch_size}: larger than the {n} training images"
            )
        if len(splits.val.images) < 2:
            raise UserError(
                f"dataset.{'path' if d.path else 'root'}: fewer than 2 validation images; add"
                " images"
            )
        return splits

    def describe(self, config: Config, data: Splits) -> str:
        counts = [len(s.images) for s in (data.train, data.val, data.test)]
        classes = f"{data.train.n_classes} classes" if data.train.n_classes else "no labels"
        return "{}: {:,} training, {:,} validation, {:,} test images, {}".format(
            config.dataset.name, *counts, classes
        )

    def fingerprint(self, data: Splits) -> str:
        return "-".join(s.fingerprint() for s in (data.train, data.val, data.test))


PLANNER = SeqJEPAPlanner()
