"""Draw one image at five strengths of an augmentation: `python docs/draw_strength.py PHOTO OUT.png [crop_rotate]`."""

import sys
from pathlib import Path

import hydra
import numpy
import torch
from matplotlib.figure import Figure
from PIL import Image

from semisup.config import schema
from semisup.config.compose import config_folder
from semisup.config.hydra_versions import initialized
from semisup.core.rng import torch_generator

STRENGTHS, DRAWS, SIDE = (0.0, 0.25, 0.5, 0.75, 1.0), 3, 160


def main(photo: str, out: str, augment: str = "crop_rotate") -> None:
    image = Image.open(photo).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1).unsqueeze(0)
    figure = Figure(figsize=(10, 6.3), layout="constrained")
    grid = figure.subplots(DRAWS, len(STRENGTHS))
    for column, strength in enumerate(STRENGTHS):
        with initialized(config_folder()):
            words = [f"augment={augment}", f"augment.strength={strength}", "tracking=none"]
            settings = schema.validate(hydra.compose("train", overrides=words)).settings.augment
        for row in range(DRAWS):
            view = settings.apply(pixels, torch_generator(row, "picture"))[0]
            grid[row, column].imshow(view.permute(1, 2, 0).clamp(0, 1).numpy())
            grid[row, column].axis("off")
        grid[0, column].set_title(f"strength {strength:g}")
    figure.savefig(Path(out), dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
