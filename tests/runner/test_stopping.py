"""Test that a stop request ends a run within a batch, and that the run continues bit-identically."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semisup.config import schema
from semisup.core.events import Event, Progress
from semisup.method import label_propagation
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from tests.conftest import compose
from tests.runner.test_shared_start import checked, made_up, run, written

WORDS = ("train.steps=12", "train.eval_batch_size=10", "method.gate=0", "threshold.tau=0.2")
__all__ = ["made_up"]


@pytest.mark.parametrize(
    "words",
    [
        ("method.refresh_every=1", "train.evaluate_every=1", "labeler.calibrate=true"),
        ("method=noisy_student", "method.refresh_every=2", "train.ema_decay=0.9"),
        ("train.evaluate_every_steps=5", "method.refresh_every=2"),
    ],
    ids=["calibrated", "noisy_student", "by_steps"],
)
@pytest.mark.parametrize("share", [False, True])
def test_run_stops_at_every_batch_of_an_evaluation_or_labeling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], share: bool
) -> None:
    alone = run(tmp_path, "apart", *WORDS, *words, share=False)
    train, asked, after = run_module.train, set[tuple[int, str, int]](), list[Event]()

    def stopping(*of: Any) -> Iterator[Event]:
        signaled = False
        for event in train(*of):
            if signaled:
                after.append(event)
            if isinstance(event, Progress) and (place := (event.step, event.phase, event.done)) not in asked:
                asked.add(place)
                signaled = True
                signal.raise_signal(signal.SIGTERM)
            yield event

    monkeypatch.setattr(run_module, "train", stopping)
    wanted = checked(tmp_path, "stopped", *WORDS, *words, share=share)
    stops = 0
    while (outcome := run_module.run(wanted, Bars(), in_sweep=True)).status == "interrupted":
        assert outcome.by == "SIGTERM"
        stops += 1
    assert outcome.status == "done", outcome.message
    assert stops == len(asked)
    assert {doing for _, doing, _ in asked} == {"validation", "scoring", "test"}
    assert after == [], "nothing is done after it was asked"
    assert written(outcome.folder) == written(alone.folder)


def test_propagation_of_labels_stops_at_every_phase_and_continues_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("method=label_propagation", "model.widths=[8,16]", "train.batch_size=4", "train.epochs=null")
    words += ("train.steps=3", "train.eval_batch_size=20", "threshold.tau=0.2", "plots=false", "tracking=none")

    def config(name: str) -> Any:
        return schema.validate(compose(*words, f"output_root={tmp_path}", f"name={name}"))

    alone = run_module.run(config("alone"), Bars(), in_sweep=True)
    monkeypatch.setattr(label_propagation, "_last", {})
    train, phases, stopped = run_module.train, list[str](), list[str]()

    def stopping(*of: Any) -> Iterator[Event]:
        for event in train(*of):
            if stopped and stopped[-1] == "now":
                pytest.fail("the training did not end at the event")
            if isinstance(event, Progress) and event.step == 0 and event.phase not in phases:
                phases.append(event.phase)
                stopped.append("now")
                signal.raise_signal(signal.SIGINT)
            yield event

    monkeypatch.setattr(run_module, "train", stopping)
    wanted = config("stopped")
    for phase in ("reading features", "finding neighbors", "propagating labels"):
        outcome = run_module.run(wanted, Bars(), in_sweep=True)
        assert (outcome.status, outcome.exit_code, phases[-1]) == ("interrupted", 130, phase)
        stopped[-1] = phase
    outcome = run_module.run(wanted, Bars(), in_sweep=True)
    assert outcome.status == "done", outcome.message
    assert written(outcome.folder) == written(alone.folder)
