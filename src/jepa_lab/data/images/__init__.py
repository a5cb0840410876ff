"""Images in memory, from named data sets and from files of users."""

from jepa_lab.data.images.image_source import ImageSource, Splits, load_splits

__all__ = ["ImageSource", "Splits", "load_splits"]
