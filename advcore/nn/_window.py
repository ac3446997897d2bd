"""Extents of what slides over an image."""

from __future__ import annotations


def positions(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False) -> int:
    """Return how many windows fit along an axis: torch's rule. ``padding`` is what each side gets."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(
            f"the kernel covers {dilation * (kernel - 1) + 1} pixels, the padded input has {size + 2 * padding}"
        )
    count = room // stride + 1
    # A window that is cut off at the end counts in ceil mode, if it starts in the input or the padding before it.
    if ceil_mode and room % stride and count * stride < size + padding:
        count += 1
    return count


def used_share(size: int, kernel: int, stride: int, padding: int, dilation: int, count: int) -> float:
    """Return the share of an axis that lies in any of its ``count`` windows."""
    used = {
        at
        for window in range(count)
        for at in range(window * stride - padding, window * stride - padding + dilation * kernel, dilation)
        if 0 <= at < size
    }
    return len(used) / size
