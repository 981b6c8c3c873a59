"""Embeddings are the input of the classifier layer, for every family of models."""

import pytest
import torch
from torch import Tensor, nn

from semisup.core.embeddings import classifier_layer, record_inputs
from tests.conftest import checked

TIMM = ("model=timm", "model.weights=null", "dataset.size=32", "model.input_size=32")
TORCHVISION = ("model=torchvision", "dataset.size=32")
FAMILIES = [
    (("model=small_cnn", "model.widths=[4,6]"), 6),
    (("model=cnn", "model.widths=[4,6]", "model.hidden=5", "dataset.size=8"), 5),
    (("model=wide_resnet", "model.depth=10", "model.widen_factor=1"), 64),
    (("model=linear",), 64),
    (("model=mlp", "model.widths=[7,5]"), 5),
    ((*TIMM, "model.architecture=test_efficientnet"), 256),
    ((*TIMM, "model.architecture=test_vit"), 64),
    ((*TORCHVISION, "model.architecture=resnet18"), 512),
    ((*TORCHVISION, "model.architecture=squeezenet1_1"), 512),
]


@pytest.mark.parametrize(("words", "dimension"), FAMILIES, ids=[" ".join(words[:2]) for words, _ in FAMILIES])
def test_embedding_determines_the_logits(words: tuple[str, ...], dimension: int) -> None:
    run_config = checked(*words)
    size = run_config.dataset.size
    torch.manual_seed(0)
    model = run_config.settings.model.build(1, 3, size).eval()
    layer = classifier_layer(model)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        with record_inputs(layer) as inputs:
            logits = model(torch.rand(5, 1, size, size))
    (embedding,) = inputs
    assert (embedding.shape, embedding.dtype) == ((5, dimension), torch.float32)
    if isinstance(layer, nn.Linear):
        assert torch.equal(layer(embedding), logits)
    model(torch.rand(2, 1, size, size))
    assert len(inputs) == 1, "nothing is recorded after the context"


def test_values_at_several_positions_are_averaged() -> None:
    convolution, tokens = nn.Conv2d(4, 3, 1), nn.Linear(4, 3)

    def recorded(layer: nn.Module, values: Tensor) -> Tensor:
        with record_inputs(layer) as inputs:
            layer(values)
        return inputs[0]

    images = torch.rand(2, 4, 5, 6)
    assert torch.allclose(recorded(convolution, images), images.mean(dim=(2, 3)))
    assert torch.allclose(recorded(tokens, images.permute(0, 2, 3, 1)), images.mean(dim=(2, 3)))
    assert torch.allclose(recorded(tokens, images[:, :, 0].transpose(1, 2)), images[:, :, 0].mean(dim=2))
