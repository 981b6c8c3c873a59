"""Run a probe: fit a scikit-learn classifier to the features of the labeled images, without a training loop."""

from typing import Any

from semisup.config.schema import RunConfig
from semisup.dataset import Data
from semisup.errors import SettingError
from semisup.record.writer import RunWriter
from semisup.runner.finish import finish_run
from semisup.runtime.torchrun_env import world_size
from semisup.tracking import Tracker
from semisup.training.probe import fit_probe
from semisup.training.state import TrainingData


def check_one_process(run_config: RunConfig) -> None:
    """Raise SettingError if torchrun started several processes to fit a probe."""
    if run_config.probe.classifier is not None and world_size() > 1:
        raise SettingError(
            "probe.classifier", run_config.probe.classifier, "needs a single process; start it without torchrun"
        )


def run_probe(
    run_config: RunConfig, problem: TrainingData, data: Data, record: RunWriter, tracker: Tracker
) -> dict[str, Any]:
    """Fit a probe, write its results into the run directory, and return the summary.

    Args:
        problem: the data on the run's device.
        data: the data as read.
        record: writer of the run directory.
        tracker: tracker (such as W&B) to which the results are sent, too.
    """
    # The model is saved before the first metric is logged, so that an interrupted probe starts again with empty logs
    fitted = fit_probe(problem, run_config.settings, run_config.probe)
    if fitted.best.weights:
        record.save({"step": fitted.best.step, "best": vars(fitted.best)})
    for event in fitted.evaluations:
        record.write_event(event)
        tracker.row(event.row())
    record.write_event(fitted.finished)
    return finish_run(run_config, data, record, tracker, fitted.finished)
