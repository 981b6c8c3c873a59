"""Load the best model of a finished run."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from semisup.config import schema
from semisup.config.schema import RunConfig
from semisup.core.embeddings import classifier_layer
from semisup.core.partial_state import load_trained_state
from semisup.errors import RecordError, first_line
from semisup.record import checkpoint
from semisup.record.reader import read_config, read_json, read_section
from semisup.record.run_check import check_finished_run, check_run
from semisup.record.weights_check import check_weights
from semisup.runner import trial_network
from semisup.runner.weights import check_weights_present
from semisup.runtime.precision import wrap_forward
from semisup.text import printable, shell_quote


@dataclass(frozen=True)
class TrainedModel:
    """The best model of a run.

    run: the run directory
    run_config: the validated config of the run
    network: the model; its input is images in [0, 1] or, with an encoder, features; its output is logits
    classes: the class names, in the order of the logits
    channels: number of channels of an image, 1 or 3
    """

    run: Path
    run_config: RunConfig
    network: nn.Module
    classes: list[str]
    channels: int

    @property
    def embedding_layer(self) -> nn.Module:
        """The layer whose input is the embedding of an image.

        If the model is trained on features of an encoder, these are the embedding, so the layer is the whole network
        after the encoder.
        """
        return self.network if self.run_config.encoder is not None else classifier_layer(self.network)

    def input_differences(self, other: "TrainedModel") -> list[str]:
        """List the properties in which another model differs, such as classes or settings for decoding images."""
        differs = {
            "classes": self.classes != other.classes,
            "channels of an image": self.channels != other.channels,
            "image size or conversion": self.run_config.dataset.decode_settings()
            != other.run_config.dataset.decode_settings(),
        }
        return [name for name, value in differs.items() if value]


def load_trained_model(run: Path, device: torch.device) -> TrainedModel:
    """Load the best model of a run onto a device.

    The weights of frozen layers are read from the file of pretrained weights. No file is downloaded.

    Raises:
        RecordError: there is no best model, or its weights do not fit the config or are damaged.
        SettingError: pretrained weights of the encoder or of frozen layers are missing, or the file has changed.
    """
    check_run(run)
    about, best = read_json(run / "run.json"), checkpoint.newest(run / "checkpoints", "best")
    if about is not None and not best:
        _refuse_probe_without_model(run)
    if about is None or not best:
        check_finished_run(run)
        raise RecordError(f"{shell_quote(run)}: the best model of the run is missing (run.json, checkpoints/best-*.pt)")
    run_config = schema.validate(read_config(run / "config.yaml") | {"device": "cpu", "compile": False}, weights=False)
    dataset, settings = read_section(about, "dataset"), run_config.settings
    classes, channels = dataset.get("classes"), dataset.get("channels")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or channels not in (1, 3):
        raise RecordError(
            f"{run / 'run.json'}: does not hold the class names and the number of channels that predict needs"
        )
    expected = trial_network.checkpoint_bytes(run_config, channels, len(classes))
    if not expected <= best[0].stat().st_size <= 2 * expected + 2**20:
        raise RecordError(f"{best[0]}: not the weights of this run's model, which take {expected} bytes")
    input_channels, _, size = trial_network.model_input(run_config, channels, len(classes))
    partial = expected < trial_network.weight_bytes(run_config, channels, len(classes))
    if partial or run_config.encoder is not None:
        check_weights_present(run_config, "download them from")
    network = settings.model.build(input_channels, len(classes), size, pretrained=partial)
    wrap_forward(network, settings.precision, device, channels_last=settings.channels_last, compile=False)
    try:
        weights = checkpoint.load(best[0])["weights"]
        check_weights(best[0], weights, network.state_dict())
        load_trained_state(network, weights)
    except (RuntimeError, TypeError, KeyError) as error:
        raise RecordError(f"{best[0]}: not the weights of this run's model ({printable(first_line(error))})") from None
    return TrainedModel(run, run_config, network.eval().to(device), classes, channels)


def _refuse_probe_without_model(run: Path) -> None:
    """Raise RecordError if the run is a nearest-neighbors probe, which stores no model."""
    if read_section(read_config(run / "config.yaml"), "probe").get("classifier") == "nearest_neighbors":
        raise RecordError(
            f"{run}: nearest neighbors store no model; predict with the logistic regression in the same folder "
            f"({run.parent / 'logistic_regression-seed*'}), or with a trained run"
        )
