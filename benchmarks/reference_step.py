"""A FixMatch step as published (arXiv 2001.07685), without optimizations.

The step works like public PyTorch implementations. The code was written from the paper's description, for this
benchmark only:

- Pillow transforms each image by itself: a mirror image half of the time, reflect padding and a crop; the strong view
  then gets two of fourteen operations and CutOut.
- One batch [labeled, weak, strong] in float32, in torch's default memory layout.
- The loss is CE(labeled) + mean(mask CE(strong)); the optimizer is SGD with Nesterov momentum.
- The average of the weights is updated in a loop over the tensors, and four numbers are read for the log.
"""

import random
from collections.abc import Callable

import numpy
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Operation = Callable[[Image.Image], Image.Image]
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Sharpness)


def weak(image: Image.Image) -> Image.Image:
    """Mirror an image half of the time, pad it by an eighth of its side, and crop it at random."""
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
    side, pad = image.width, image.width // 8
    padded = numpy.pad(numpy.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    return Image.fromarray(padded[top : top + side, left : left + side])


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def operations(side: int) -> list[Operation]:
    """List RandAugment's fourteen operations as functions of a Pillow image; each draws its magnitude."""
    share: Callable[[], float] = lambda: random.uniform(-0.3, 0.3)  # noqa: E731
    factor: Callable[[], float] = lambda: random.uniform(0.05, 0.95)  # noqa: E731
    enhance: list[Operation] = [lambda image, each=each: each(image).enhance(factor()) for each in ENHANCERS]
    return [
        *enhance,
        ImageOps.autocontrast,
        ImageOps.equalize,
        lambda image: image,
        lambda image: ImageOps.posterize(image, random.randint(4, 8)),
        lambda image: ImageOps.solarize(image, random.randint(0, 256)),
        lambda image: image.rotate(random.uniform(-30, 30)),
        lambda image: affine(image, 1, share(), 0, 0, 1, 0),
        lambda image: affine(image, 1, 0, 0, share(), 1, 0),
        lambda image: affine(image, 1, 0, share() * side, 0, 1, 0),
        lambda image: affine(image, 1, 0, 0, 0, 1, share() * side),
    ]


def strong(image: Image.Image) -> Image.Image:
    image = weak(image)
    for operation in random.choices(operations(image.width), k=2):
        image = operation(image)
    half, x, y = random.uniform(0, 0.25) * image.width, random.uniform(0, image.width), random.uniform(0, image.height)
    ImageDraw.Draw(image).rectangle((x - half, y - half, x + half, y + half), (127, 127, 127))
    return image


def to_tensor(images: list[Image.Image]) -> Tensor:
    """Convert images to one (n, 3, S, S) float tensor, normalized by a fixed mean and standard deviation."""
    each = [torch.from_numpy(numpy.array(image)).permute(2, 0, 1).contiguous().float() / 255 for image in images]
    return torch.stack([(image - 0.5) / 0.25 for image in each])


class ReferenceStep:
    """The published FixMatch step. Calling the object computes one step.

    Args:
        model: the network that is trained, in float32.
        average: a copy of the model, for the average of its weights.
        labeled, pool: (n, S, S, 3) uint8, the labeled and the unlabeled images.
        targets: (n,) classes of the labeled images.
        batch: labeled images per step.
        ratio: unlabeled images per labeled image.
        tau: the minimum confidence of a selected pseudo-label.
    """

    def __init__(
        self,
        model: nn.Module,
        average: nn.Module,
        labeled: numpy.ndarray,
        targets: Tensor,
        pool: numpy.ndarray,
        batch: int,
        ratio: int,
        tau: float,
    ) -> None:
        self.model, self.average, self.labeled, self.targets, self.pool = model, average, labeled, targets, pool
        self.batch, self.ratio, self.tau = batch, ratio, tau
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=False
        )
        self.log: list[tuple[float, ...]] = []

    def images(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw and augment the images of a step, as the workers of a data loader would.

        Returns:
            Labeled views, their classes, and weak and strong views of the unlabeled images.
        """
        own = random.sample(range(len(self.labeled)), self.batch)
        others = random.choices(range(len(self.pool)), k=self.ratio * self.batch)
        labeled = to_tensor([weak(Image.fromarray(self.labeled[row])) for row in own])
        one = to_tensor([weak(Image.fromarray(self.pool[row])) for row in others])
        two = to_tensor([strong(Image.fromarray(self.pool[row])) for row in others])
        return labeled, self.targets[own], one, two

    def __call__(self) -> None:
        labeled, targets, one, two = self.images()
        self.model.train()
        logits = self.model(torch.cat((labeled, one, two)))
        ours, weak_logits, strong_logits = logits.split((len(labeled), len(one), len(two)))
        probability, said = weak_logits.detach().softmax(dim=-1).max(dim=-1)
        mask = probability.ge(self.tau).float()
        supervised = cross_entropy(ours, targets)
        unlabeled = (cross_entropy(strong_logits, said, reduction="none") * mask).mean()
        loss = supervised + unlabeled
        loss.backward()
        self.log.append((loss.item(), supervised.item(), unlabeled.item(), mask.mean().item()))
        self.optimizer.step()
        self.model.zero_grad()
        with torch.no_grad():
            for average, learned in zip(self.average.parameters(), self.model.parameters(), strict=True):
                average.copy_(average * 0.999 + learned * 0.001)
            for average, learned in zip(self.average.buffers(), self.model.buffers(), strict=True):
                average.copy_(learned)
