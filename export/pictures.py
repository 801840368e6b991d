"""Pictures with the grey values and the coarse anatomy of a chest film; nobody's.

They stand in for films where a model's numbers are compared, not its answers.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lambdas.shared.preprocess import resize


def picture(generator: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """A bright body with two dark fields, a heart, ribs and grain.

    Args:
        generator: Draws position, size, contrast and noise.
        size: Height and width in px.

    Returns:
        (size, size) float32 in [0, 1], grey values spread as the percentile step leaves a film's.
    """
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size

    def ellipse(y: float, x: float, height: float, width: float, soft: float) -> Any:
        distance = np.hypot((rows - y) / height, (columns - x) / width)
        return 1 / (1 + np.exp((distance - 1) / soft))

    draw = generator.uniform
    y, x = draw(0.45, 0.6), draw(0.45, 0.55)
    image = draw(0.5, 0.8) * ellipse(y + 0.1, x, draw(0.5, 0.8), draw(0.35, 0.55), 0.05)
    apart, tall, wide = draw(0.17, 0.24), draw(0.25, 0.36), draw(0.1, 0.17)
    for side in (-1, 1):
        lung = ellipse(y - 0.05, x + side * apart, tall * draw(0.85, 1.1), wide, 0.12)
        image = image * (1 - draw(0.5, 0.8) * lung)
    heart = ellipse(y + 0.12, x + 0.05, draw(0.1, 0.2), draw(0.1, 0.22), 0.15)
    image = image + draw(0.15, 0.4) * heart
    image = image + draw(0.1, 0.3) * ellipse(y, x, 1.0, draw(0.03, 0.06), 0.2)
    for rib in np.arange(0.1, 0.9, draw(0.06, 0.1)):
        line = np.exp(-(((rows - rib - 0.3 * (columns - x) ** 2) / 0.012) ** 2))
        image = image + draw(0.05, 0.2) * line * ellipse(y, x, 0.4, 0.35, 0.1)
    for cells in (8, 32, size // 4):
        noise = generator.standard_normal((cells, cells)).astype(np.float32)
        image = image + draw(0.01, 0.08) * resize(noise, height_px=size, width_px=size)
    # grey values spread evenly, as the percentile step leaves a film's
    order = image.ravel().argsort().argsort().reshape(image.shape) / image.size
    grey = np.clip(order * draw(1.0, 1.3) - draw(0.0, 0.15), 0, 1) ** draw(0.7, 1.4)
    border = round(size * draw(0, 0.15))
    if generator.random() < 0.5:
        grey[:, :border], grey[:, size - border :] = 0, 0
    return grey.astype(np.float32)
