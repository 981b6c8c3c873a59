"""A step of FixMatch as its paper (arXiv 2001.07685) and the PyTorch editions that are public do it, plainly.

Written from the paper's description, for this benchmark only. Each image by itself through Pillow: mirrored half of the
time, padded by reflection and cropped; the strong view then has two of fourteen operations and CutOut. All views in one
batch [labeled, weak, strong] in float32, images in torch's own layout; the loss is CE(labeled) + mean(mask CE(strong));
SGD with Nesterov's momentum; the average of the weights in a loop over the tensors; four numbers read for the log.
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
    """Mirrored half of the time, and a random crop of the image padded by an eighth."""
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
    side, pad = image.width, image.width // 8
    padded = numpy.pad(numpy.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    return Image.fromarray(padded[top : top + side, left : left + side])


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def operations(side: int) -> list[Operation]:
    """The fourteen, each with an amount of its own draw."""
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
    """(n, 3, S, S) float, mean and deviation taken out."""
    each = [torch.from_numpy(numpy.array(image)).permute(2, 0, 1).contiguous().float() / 255 for image in images]
    return torch.stack([(image - 0.5) / 0.25 for image in each])


class ReferenceStep:
    """Called once a step.

    Args:
        model: learns, in float32; `average`: a copy of it.
        labeled, pool: (n, S, S, 3) uint8 images; targets: (n,) classes of the labeled ones.
        batch: labeled images of a step, and `ratio` unlabeled ones for each. tau: the threshold.
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
        """What the workers of a data loader make: labeled views and their classes, weak and strong views."""
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
