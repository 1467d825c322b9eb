"""Image statistics of grey images by numpy, for the comparison in tests/statistics.rs.

python image_statistics.py WIDTH HEIGHT < images.raw > values
A line for each image: border letters blockiness gradient_energy laplacian_variance homogeneity
pattern_entropy_bits, all of the image as it is, without a resize.
"""
import sys

import numpy as np

width, height = int(sys.argv[1]), int(sys.argv[2])
images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, height, width)


def border(image):
    widest = 0.0
    for inside in (image > 12, image < 243):
        for uniform, length in ((1 - inside.mean(1), height), (1 - inside.mean(0), width)):
            for side in (uniform, uniform[::-1]):
                run = np.cumprod(side >= 0.98).sum()
                widest = max(widest, run / length)
    return widest


def letters(image):
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    outer = ((y < 0.2) | (y > 0.85))[:, None] | ((x < 0.25) | (x > 0.75))[None, :]
    total, n = 0, 0
    for axis in (0, 1):
        a, b = (image[:-1], image[1:]) if axis == 0 else (image[:, :-1], image[:, 1:])
        counted = outer[1:] if axis == 0 else outer[:, 1:]
        step = np.maximum(np.abs(a.astype(int) - b) - 30, 0) * (np.maximum(a, b) >= 150)
        total, n = total + step[counted].sum(), n + counted.sum()
    return total / n / 255


def blockiness(image):
    def contrast(differences, positions):
        best = 0.0
        for k in range(8):
            border, inside = differences[positions == k].mean(), differences[positions != k].mean()
            if border + inside > 0:
                best = max(best, (border - inside) / (border + inside))
        return best

    step = -(-width * height // 2**17)
    whole = (width - 1) // 8 * 8
    across = np.abs(np.diff(image[::step].astype(int), axis=1))[:, :whole]
    step += step % 2 == 0
    rows = np.arange(0, height - 1, step)
    down = np.abs(image[rows].astype(int) - image[rows + 1])
    columns = np.broadcast_to(np.arange(whole) % 8, across.shape)
    return (contrast(across, columns) + contrast(down, np.broadcast_to(rows[:, None] % 8, down.shape))) / 2


def texture(image):
    i = image.astype(int)
    a, m, b = i[:-2], i[1:-1], i[2:]
    left, centre, right = slice(0, -2), slice(1, -1), slice(2, None)
    across = a[:, right] + 2 * m[:, right] + b[:, right] - a[:, left] - 2 * m[:, left] - b[:, left]
    down = b[:, left] + 2 * b[:, centre] + b[:, right] - a[:, left] - 2 * a[:, centre] - a[:, right]
    laplacian = a[:, centre] + b[:, centre] + m[:, left] + m[:, right] - 4 * m[:, centre]
    steps = i // 4
    differences = np.concatenate([np.diff(steps, axis=1).ravel(), np.diff(steps, axis=0).ravel()])
    ring = [a[:, left], a[:, centre], a[:, right], m[:, right], b[:, right], b[:, centre], b[:, left], m[:, left]]
    bits = np.stack([neighbour >= m[:, centre] for neighbour in ring])
    changes = (bits != np.roll(bits, 1, axis=0)).sum(0)
    patterns = np.where(changes <= 2, bits.sum(0), 9)
    shares = np.bincount(patterns.ravel()) / patterns.size
    shares = shares[shares > 0]
    return [
        (across**2 + down**2).mean() / 255**2,
        laplacian.var() / 255**2,
        (1 / (1 + differences**2)).mean(),
        -(shares * np.log2(shares)).sum(),
    ]


for image in images:
    print(*(repr(float(v)) for v in [border(image), letters(image), blockiness(image), *texture(image)]))
