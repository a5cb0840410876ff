"""The earlier place of `jepa_lab.data.images.own_images`, for scripts outside this repository that
still import it. Nothing in the repository does."""

from jepa_lab.data.images.own_images import folder, npz

__all__ = ["folder", "npz"]
