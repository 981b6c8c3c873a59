"""The Food-11 tutorial's program (offline self-training), without optimizations, as published.

The code was written from the tutorial's description, for this benchmark only:

- Images are read one after another into arrays that grow by concatenation.
- Pillow transforms every image by itself, each time that it is used.
- The unlabeled set is labeled through a loader whose items are (transformed, original). Lists of confidences and
  classes are extended batch by batch, and selected images are appended one by one.
- The optimizer is torch's default implementation of AdamW, which is not fused.
"""

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

THRESHOLD, BATCH = 0.99, 16


def read_classes(folder: Path, side: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Read the images in a folder that has one subfolder for each class.

    Returns:
        (n, S, S, 3) uint8 images and (n,) indices of their classes.
    """
    for number, each in enumerate(sorted(folder.iterdir())):
        images = read_flat(each, side)
        targets = numpy.full(len(images), number)
        if number == 0:
            everything, classes = images, targets
        else:
            everything, classes = numpy.concatenate((everything, images)), numpy.concatenate((classes, targets))
    return everything, classes


def read_flat(folder: Path, side: int) -> numpy.ndarray:
    files = sorted(folder.iterdir())
    images = numpy.zeros((len(files), side, side, 3), dtype=numpy.uint8)
    for number, file in enumerate(files):
        images[number] = Image.open(file).convert("RGB").resize((side, side))
    return images


def load(root: Path, side: int) -> dict[str, Any]:
    """Read all images of the data set at once."""
    return {
        "labeled": read_classes(root / "training/labeled", side),
        "unlabeled": read_flat(root / "training/unlabeled/00", side),
        "validation": read_classes(root / "validation", side),
        "test": read_classes(root / "testing", side),
    }


def crop_and_rotate(image: Image.Image) -> Image.Image:
    """Augment an image like RandomResizedCrop followed by RandomRotation(50)."""
    side = image.width
    for _ in range(10):
        area, aspect = side * side * random.uniform(0.08, 1), math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if width <= side and height <= side:
            break
    left, top = random.randint(0, side - min(width, side)), random.randint(0, side - min(height, side))
    box = (left, top, left + width, top + height)
    crop = image.resize((side, side), Image.Resampling.BILINEAR, box=tuple(min(edge, side) for edge in box))
    return crop.rotate(random.uniform(-50, 50))


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(numpy.array(image)).permute(2, 0, 1).contiguous().float().div(255)


class Labeled(Dataset[tuple[Tensor, int]]):
    """Data set of the labeled images; an image is augmented each time that it is read."""

    def __init__(self, images: Any, targets: Any) -> None:
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return to_tensor(crop_and_rotate(Image.fromarray(self.images[index]))), int(self.targets[index])


class Unlabeled(Dataset[tuple[Tensor, numpy.ndarray]]):
    """Data set of the unlabeled images; an item has the tensor for the model and the original array."""

    def __init__(self, images: numpy.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, numpy.ndarray]:
        return to_tensor(Image.fromarray(self.images[index])), self.images[index]


def network(widths: Sequence[int], hidden: int, classes: int, side: int) -> nn.Sequential:
    """Build the network of the Food-11 tutorial, with the layers in the order of the tutorial's program.

    Each ReLU comes before the pooling layer, and no operation is in place.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise([3, *widths]):
        layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2, 2, 0)]
    features = widths[-1] * (side // 2 ** (len(widths) + 1)) ** 2
    head = [nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers, nn.MaxPool2d(2, 2, 0), *head)


class Learning:
    """The tutorial's training step. Calling the object computes one step.

    The object contains the model, AdamW, and a data loader that starts again when it is exhausted.
    """

    def __init__(self, model: nn.Module, images: Any, targets: Any, batch: int = BATCH) -> None:
        self.model, self.optimizer = model, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
        self.loader = DataLoader(Labeled(images, targets), batch_size=batch, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)
        self.loss, self.right = 0.0, 0.0

    def __call__(self) -> None:
        try:
            images, targets = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            images, targets = next(self.batches)
        self.model.train()
        logits = self.model(images)
        loss = cross_entropy(logits, targets)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss += loss.item()
        self.right += numpy.sum(numpy.argmax(logits.detach().numpy(), axis=1) == targets.numpy())


def score(model: nn.Module, pool: numpy.ndarray, threshold: float, batch: int = BATCH) -> tuple[list[Any], list[int]]:
    """Label the unlabeled images.

    Returns:
        The images whose confidence is above `threshold`, and their predicted classes.
    """
    loader = DataLoader(Unlabeled(pool), batch_size=batch, shuffle=False)
    model.eval()
    surest: list[float] = []
    said: list[int] = []
    with torch.no_grad():
        for images, _ in loader:
            probability = nn.Softmax(dim=1)(model(images))
            highest, number = probability.max(1)
            surest.extend(highest.numpy().tolist())
            said.extend(number.numpy().tolist())
    kept, targets = [], []
    for index, value in enumerate(surest):
        if value > threshold:
            kept.append(loader.dataset[index][1])  # transforms it once more, as the tutorial does
            targets.append(said[index])
    return kept, targets
