"""Random changes to training images, drawn and applied where the images are."""

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(images: Tensor, generator: torch.Generator | None = None, padding: int = 4) -> Tensor:
    """Each image shifted by up to ``padding`` pixels, zeros moving in, and with probability 1/2 mirrored left to right.

    Args:
        images: ``[N, C, H, W]`` of any dtype, on any device. They are not changed.
        generator: the source of the random numbers; by default the global one of the images' device.
        padding: pixels, at least 0.

    Returns:
        New images of the same shape and dtype, on the same device.

    Raises:
        ValueError: for images of another number of dimensions, or a negative padding.
    """
    if images.ndim != 4:
        raise ValueError(f"images must have shape [N, C, H, W], got {list(images.shape)}")
    if padding < 0:
        raise ValueError(f"padding must be at least 0, got {padding}")
    count, channels, height, width = images.shape
    device, source = images.device, generator.device if generator else images.device
    top, left = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=source).to(device)
    flipped = torch.randint(2, (count, 1), generator=generator, device=source).to(device).bool()
    column = torch.arange(width, device=device)
    rows = top + torch.arange(height, device=device)  # [N, H]
    columns = left + torch.where(flipped, column.flip(0), column)  # [N, W]
    padded = F.pad(images, [padding] * 4)
    return padded[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def erase(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Each image with a rectangle of zeros, anywhere and up to half as high and wide (after Zhong et al. 2020).

    Args:
        images: ``[N, C, H, W]`` of any dtype, on any device. They are not changed.
        generator: the source of the random numbers; by default the global one of the images' device.

    Returns:
        New images of the same shape and dtype, on the same device.
    """
    count, _, *sizes = images.shape
    device, source = images.device, generator.device if generator else images.device

    def draw(bounds):  # [2, N, 1]: for rows and columns
        return torch.stack([torch.randint(bound, (count, 1), generator=generator, device=source) for bound in bounds])

    lengths, centres = draw([size // 2 + 1 for size in sizes]).to(device), draw(sizes).to(device)
    rows, columns = (
        2 * (torch.arange(size, device=device) - centre).abs() < length
        for size, centre, length in zip(sizes, centres, lengths)
    )
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0)
