"""The earlier place of `jepa_lab.data.images.own_images`, for scripts that import it."""

from jepa_lab.data.images.own_images import folder, npz

__all__ = ["folder", "npz"]
