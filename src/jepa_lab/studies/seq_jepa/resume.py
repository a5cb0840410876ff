"""The planner of seq-JEPA: loads the images of a run and describes them before training."""

from __future__ import annotations

import math

from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.data.images.streaming import Streaming
from jepa_lab.data.labels import listed
from jepa_lab.data.stored_images import require_local, require_stored
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.errors import UserError
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.memory import bytes_needed
from jepa_lab.studies.seq_jepa.metric_availability import require_measurable
from jepa_lab.studies.seq_jepa.parts import build_loaders, build_network, build_views
from jepa_lab.training.budget import build_budget
from jepa_lab.training.logger_package import require_logger
from jepa_lab.training.memory import require_memory
from jepa_lab.training.module_memory import device_memory
from jepa_lab.training.resume import Planner, fewer_than_wanted


class SeqJEPAPlanner(Planner):
    """Plans a run on images, split into train, val and test."""

    def require_stored(self, config: Config) -> None:
        require_stored(config.dataset.source_name, config.dataset.root or "data")
        if config.dataset.source_name == "hf":
            require_local(config.dataset.path or "")

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
            config_name=d.config_name,
            image_column=d.image_column,
            label_column=d.label_column,
            streaming=Streaming(math.inf if d.memory_gb is None else d.memory_gb, d.cache),
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

    def try_build(self, config: Config, data: Splits) -> bool:
        require_logger(config)
        group = self.fitting_views(config, data)
        build_budget(config, len(build_loaders(config, data)["train"]))
        build_network(config, group, data.train)
        return True

    def fitting_views(self, config: Config, data: Splits) -> ViewGroup:
        """Returns the views of a run. Raises UserError for a metric that the run does not measure,
        and for a run that the memory does not hold."""
        group = build_views(config, data.train)
        require_measurable(config, data.train.n_classes, group)
        require_memory(config, lambda c: bytes_needed(c, data), device_memory(config))
        return group

    def describe(self, config: Config, data: Splits) -> str:
        counts = [len(s.images) for s in (data.train, data.val, data.test)]
        classes = f"{data.train.n_classes} classes" if data.train.n_classes else "no labels"
        if data.train.class_names:
            classes += f" ({listed(data.train.class_names)})"
        text = "{}: {:,} training, {:,} validation, {:,} test images, {}".format(
            config.dataset.name, *counts, classes
        )
        return "; ".join([text, *data_notes(config, data)])

    def fingerprint(self, data: Splits) -> str:
        return "-".join(s.fingerprint() for s in (data.train, data.val, data.test))


def data_notes(config: Config, data: Splits) -> list[str]:
    """Returns a line for each split with fewer images than the configuration asks for, and one for
    classes without a training image."""
    d = config.dataset
    notes = fewer_than_wanted(
        [
            ("images", len(data.train.images), "dataset.train_size", d.train_size),
            ("validation images", len(data.val.images), "dataset.val_size", d.val_size),
        ]
    )
    counts, names = data.class_counts(), data.train.class_names
    for split in ("val", "test") if counts else ():
        pairs = enumerate(zip(counts["train"], counts[split], strict=True))
        alone = [names[k] if names else str(k) for k, (known, new) in pairs if new and not known]
        if alone:
            notes.append(f"classes without a training image, in the {split} split: {listed(alone)}")
    return notes


def class_protocol(data: Splits) -> dict[str, list[str]]:
    """Returns the entry "classes" of a protocol: the name of class 0, 1, ... It is left out for
    classes that are named by their number."""
    return {"classes": list(data.train.class_names)} if data.train.class_names else {}


PLANNER = SeqJEPAPlanner()
