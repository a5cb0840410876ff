"""Crop, colour and blur of many views at once, in place on planes (C, N, H, W) of pixels in 0..255,
float32.

Every view has its own factors (N,). A neutral factor leaves a view unchanged, bit for bit. The
pixels equal those of torchvision.transforms.v2.functional on uint8 images to 2 of 255: torchvision
rounds after every operation, these functions never do. Colour operations treat 3 planes as red,
green and blue. On a single plane saturation, hue and grey do nothing.
"""

from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor

from jepa_lab.devices import constant, reads_are_free

GREY = (0.2989, 0.587, 0.114)
BLENDED = ("brightness", "contrast", "saturation")
ORDERS = tuple(permutations((*BLENDED, "hue")))
HUE_AT = tuple(names.index("hue") for names in ORDERS)
# the first, second and third blend of every order
BLENDS = tuple(
    zip(*([BLENDED.index(n) for n in names if n != "hue"] for names in ORDERS), strict=True)
)


def crop_weights(start: Tensor, length: Tensor, size: int, mirrored: Tensor) -> Tensor:
    """Returns the weights of `size` input pixels in each of `size` output pixels of a line: (N,
    size, size) float32.

    The part of the line that begins at `start` and has `length` <= size pixels is enlarged to
    `size` by cubic interpolation with a = -0.5, as in PIL and in torchvision with antialias=True.
    Weights outside of the part are 0, and the others sum to 1. `mirrored` (N,) bool reverses the
    output.
    """
    pixel = torch.arange(size, device=start.device, dtype=torch.float32)
    output = torch.where(mirrored[:, None], size - 1 - pixel, pixel)
    centre = (output + 0.5) * (length / size)[:, None] - 0.5
    source = (pixel - start[:, None])[:, None]  # relative to the part
    distance = (source - centre[:, :, None]).abs_()
    near, far = distance.clamp(max=1.0), distance.clamp_(1.0, 2.0)
    weights = ((1.5 * near - 2.5) * near * near + 1.0) + (
        ((2.5 - 0.5 * far) * far - 4.0) * far + 2.0
    )
    weights *= (source >= 0) & (source < length[:, None, None])
    return weights.div_(weights.sum(-1, keepdim=True))


def crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Returns planes (C, B * V, S, S) of images (B, C, S, S), with crop weights (B * V, S, S) for
    rows and columns. As in PIL, columns come first, and values are clamped to 0..255 after each of
    the two."""
    b, c, size, _ = images.shape
    n = len(rows)
    # (B, W, C, H)
    turned = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    lines = (
        torch.bmm(columns.view(b, -1, size), turned.view(b, size, -1))
        .clamp_(0.0, 255.0)
        .view(n, size, c, size)
    )
    planes = torch.empty(c, n, size, size, device=images.device)
    for channel, plane in enumerate(planes):
        torch.bmm(rows, lines[:, :, channel].transpose(1, 2), out=plane)
    return planes.clamp_(0.0, 255.0)


def jitter(planes: Tensor, factors: Tensor, order: Tensor) -> None:
    """Changes brightness, contrast, saturation and hue by factors (N, 4), in the order of each
    view: (N,), indices of ORDERS."""
    if len(planes) == 1:
        factors = factors * constant((1.0, 1.0, 0.0, 0.0), factors)
        factors = factors + constant((0.0, 0.0, 1.0, 0.0), factors)
    position = constant(HUE_AT, order)[order]
    position = torch.where(factors[:, 3] == 0, -1, position)
    for step in range(4):
        if len(planes) > 1:
            on_some(planes, position == step, _shift_hue, factors[:, 3])
        if step < 3:
            _blend(planes, factors, constant(BLENDS[step], order)[order])


def _blend(planes: Tensor, factors: Tensor, kind: Tensor) -> None:
    """Blends each view according to kind (N,): 0 with black, 1 with the mean of its grey image, 2
    with its grey image. All of them are `f x + g grey + m mean(grey)`, clamped to 0..255."""
    keep = factors.gather(1, kind[:, None])
    of_grey, of_mean = (torch.where(kind[:, None] == k, 1.0 - keep, 0.0) for k in (2, 1))
    grey = grey_of(planes).flatten(1)
    other = (grey * of_grey).add_(of_mean * grey.mean(1, keepdim=True))
    for plane in planes.flatten(2):
        torch.addcmul(other, plane, keep, out=plane)
    planes.clamp_(0.0, 255.0)


def grey_of(planes: Tensor) -> Tensor:
    """Returns the luma (N, H, W) of ITU-R 601 with torchvision's rounded weights. A single plane is
    returned as it is."""
    if len(planes) == 1:
        return planes[0]
    return (planes[0] * GREY[0]).add_(planes[1], alpha=GREY[1]).add_(planes[2], alpha=GREY[2])


def to_grey(planes: Tensor) -> None:
    """Replaces all three planes by the grey image."""
    planes.copy_(grey_of(planes).expand_as(planes))


def _shift_hue(planes: Tensor, shift: Tensor) -> None:
    """Adds shift (N,), in turns, to the hue in HSV; value and saturation stay.

    With h in sixths of a turn, lowest channel m and spread c, red is m + c clamp(|h - 3| - 1, 0,
    1), green is m + c clamp(2 - |h - 2|, 0, 1) and blue is m + c clamp(2 - |h - 4|, 0, 1).
    Conversely, (red, green, blue) = m + c (R, G, B) has h = 1 + G + B - R if green is above blue,
    else the negative of it. This avoids a case for each highest channel.
    """
    red, green, blue = planes
    lowest = torch.minimum(red, green).clamp_(max=blue)
    spread = torch.maximum(red, green).clamp_(min=blue).sub_(lowest)
    hue = (green + blue).sub_(red).sub_(lowest).div_(spread.clamp(min=1e-6)).add_(1.0)
    hue.copysign_(green - blue).add_(6.0 * shift[:, None, None])
    hue.sub_(torch.floor(hue * (1 / 6)), alpha=6.0)
    torch.addcmul(lowest, spread, (hue - 3.0).abs_().sub_(1.0).clamp_(0.0, 1.0), out=red)
    torch.addcmul(lowest, spread, (hue - 2.0).abs_().neg_().add_(2.0).clamp_(0.0, 1.0), out=green)
    torch.addcmul(lowest, spread, hue.sub_(4.0).abs_().neg_().add_(2.0).clamp_(0.0, 1.0), out=blue)


def blur(planes: Tensor, sigma: Tensor, kernel: int) -> None:
    """Applies a Gaussian blur of odd width `kernel` and standard deviation sigma (N,), reflected at
    the borders. Views with sigma 0 stay as they are.

    It is a product with one square matrix per view from the left (rows) and its transpose from the
    right (columns).
    """
    if reads_are_free(sigma) and not bool((sigma > 0).any()):
        return
    size, half = planes.shape[-1], kernel // 2
    offset = torch.arange(-half, half + 1, device=planes.device)
    taps = torch.softmax(-0.5 * (offset / sigma[:, None].clamp(min=1e-3)).square(), dim=1)
    pixel = torch.arange(size, device=planes.device)
    reached = (pixel + offset[:, None]).abs()
    reached = torch.minimum(reached, 2 * (size - 1) - reached)  # (K, S)
    places = (reached[:, :, None] == pixel).float().flatten(1)  # (K, S * S)
    matrices = taps[:, :1] * places[0]
    for k in range(1, kernel):
        matrices.addcmul_(taps[:, k : k + 1], places[k])
    matrices = matrices.view(-1, size, size)
    for plane in planes:
        torch.bmm(torch.bmm(matrices, plane), matrices.transpose(1, 2), out=plane)


def solarise(planes: Tensor) -> None:
    """Inverts the pixels of 128 and more, computed as min(x, 255 - x)."""
    torch.minimum(planes, 255.0 - planes, out=planes)


def on_some(
    planes: Tensor, chosen: Tensor, operation: Callable[..., None], *values: Tensor
) -> None:
    """Applies the operation only to the views `chosen` (N,) bool, each with its `values` (N,).

    An accelerator would have to be asked which they are, so there the operation is applied to a
    copy of all views."""
    if not reads_are_free(chosen):
        changed = planes.clone()
        operation(changed, *values)
        planes.copy_(torch.where(chosen[:, None, None], changed, planes))
        return
    where = chosen.nonzero()[:, 0]
    if len(where) == len(chosen):
        operation(planes, *values)
    elif len(where):
        part = planes.index_select(1, where)
        operation(part, *(v[where] for v in values))
        planes.index_copy_(1, where, part)
