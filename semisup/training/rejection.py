"""Compute the scores by which the option `reject` rejects unlabeled images, and the rejection limit.

The rejection limit is the lowest score of an accepted image. For online methods, scores and limit are computed before
the first step and at every evaluation; for offline methods, before every labeling. Scores that depend only on the
features of a frozen encoder are computed once.
"""

from collections.abc import Generator, Iterator

import torch
from torch import Tensor, nn

from semisup.core.embeddings import classifier_layer, record_inputs
from semisup.core.events import Event, MetricsRow, Progress
from semisup.core.inference import iter_logits, plain_input
from semisup.core.types import Encoded, Images, StateDict
from semisup.errors import SettingError
from semisup.method import OfflineMethod, Position, TrainingContext
from semisup.reject import ACCEPTED, LIMIT, SCORE, FeatureReject, LogitReject, Reject, limit_for
from semisup.training.state import State, TrainingConfig, TrainingData


def scores_at_start(problem: TrainingData, settings: TrainingConfig, state: State) -> bool:
    """Whether the scores of the option `reject` must be computed before the first step of the training.

    This is the case for an online method whose memory has no scores yet.
    """
    return _is_used(problem, settings) and not isinstance(settings.method, OfflineMethod) and SCORE not in state.memory


def scores_after_evaluation(
    problem: TrainingData, settings: TrainingConfig, training: TrainingContext, state: State, accuracy: float
) -> bool:
    """Whether the scores of the option `reject` must be computed after an evaluation.

    An offline method needs new scores only if it labels the unlabeled set after this evaluation.

    Args:
        accuracy: validation accuracy in [0, 1], which decides about the labeling.
    """
    if not _is_used(problem, settings) or (SCORE in state.memory and _is_constant(problem, settings)):
        return False
    if not isinstance(settings.method, OfflineMethod):
        return True
    position = Position(state.step, state.epoch, state.position, 0.0)
    return state.position == 0 and settings.method.will_relabel(training, position, accuracy)


def score_unlabeled(problem: TrainingData, settings: TrainingConfig, state: State) -> Generator[Event, None, StateDict]:
    """Compute the scores of the unlabeled images, the rejection limit and the accepted images.

    Yields Progress events.

    Returns:
        Entries for the method's memory. SCORE: (N,), score of each unlabeled image. LIMIT: (), the rejection limit.
        ACCEPTED: (N + L,), 1 for accepted unlabeled images and, at the end, for all L labeled images; else 0.

    Raises:
        SettingError: `reject.limit` rejects every image, and the scores cannot change any more.
    """
    reject, batch_size = settings.reject, settings.train.eval_batch_size
    assert isinstance(reject, Reject)
    scorer = _Scorer(reject, state.teacher, problem.labeled, batch_size)
    score, done = torch.empty(len(problem.unlabeled), device=problem.device), 0
    for batch in scorer.scores(problem.unlabeled):
        score[done : done + len(batch)] = batch
        done += len(batch)
        yield Progress(state.step, state.epoch, "scoring", done, len(score))
    limit = _limit(problem, reject, scorer)
    accepted = (score >= limit).float()
    if reject.limit is not None and _is_constant(problem, settings) and not bool(accepted.any()):
        low, high = float(score.min()), float(score.max())
        allowed = f"rejects all {len(score)} unlabeled images, whose scores are between {low:.4g} and {high:.4g}"
        raise SettingError("reject.limit", reject.limit, f"{allowed}; use a lower limit, or reject.keep=0.95")
    return {SCORE: score, LIMIT: limit, ACCEPTED: torch.cat((accepted, accepted.new_ones(len(problem.labeled))))}


def selected_rejection(
    problem: TrainingData, settings: TrainingConfig, state: State
) -> tuple[MetricsRow, Tensor | None]:
    """Compute the rejection limit for the best model of the run.

    Args:
        state: its teacher must have the weights of the best model.

    Returns:
        (entry, features). entry: the rejection limit as an entry of summary.json; {} if the run does not use the option
        `reject`. features: (L, D) float32 on the CPU, features of the labeled images; None if the run does not use the
        option `reject`, or if the option does not compare features.
    """
    if not _is_used(problem, settings):
        return {}, None
    assert isinstance(settings.reject, Reject)
    scorer = _Scorer(settings.reject, state.teacher, problem.labeled, settings.train.eval_batch_size)
    features = None if scorer.labeled is None else scorer.labeled.detach().float().cpu()
    return {"best/reject_limit": float(_limit(problem, settings.reject, scorer))}, features


def _limit(problem: TrainingData, reject: Reject, scorer: "_Scorer") -> Tensor:
    """Return the rejection limit (the lowest score of an accepted image), () float32."""
    if reject.keep is None:
        return torch.tensor(reject.limit, dtype=torch.float32, device=problem.device)
    scores = torch.cat([torch.zeros(0, device=problem.device), *scorer.scores(problem.validation)])
    return limit_for(scores[problem.validation.targets >= 0], reject.keep)


def _is_used(problem: TrainingData, settings: TrainingConfig) -> bool:
    return isinstance(settings.reject, Reject) and settings.method.uses_unlabeled and len(problem.unlabeled) > 0


def _is_constant(problem: TrainingData, settings: TrainingConfig) -> bool:
    """Whether the scores do not depend on the model: they are computed from the stored features of an encoder."""
    return isinstance(settings.reject, FeatureReject) and isinstance(problem.unlabeled.pixels, Encoded)


class _Scorer:
    """Computation of the scores of images by an option of the group `reject`.

    Args:
        reject: the option.
        model: model that computes logits or features.
        labeled: the labeled images; some options compare the features of an image with those of the labeled images.
        batch_size: number of images in a forward pass.
    """

    def __init__(self, reject: Reject, model: nn.Module, labeled: Images, batch_size: int) -> None:
        self.reject, self.model, self.batch_size = reject, model, batch_size
        self.labeled: Tensor | None = None
        if isinstance(reject, FeatureReject):
            self.labeled = torch.cat(list(self._features(labeled)))

    def scores(self, images: Images) -> Iterator[Tensor]:
        """Yield the scores of images, batch by batch."""
        if isinstance(self.reject, FeatureReject):
            assert self.labeled is not None
            yield from (self.reject.score_features(batch, self.labeled) for batch in self._features(images))
        else:
            assert isinstance(self.reject, LogitReject)
            batches = iter_logits(self.model, images.pixels, self.batch_size)
            yield from (self.reject.score_logits(logits) for logits in batches)

    def _features(self, images: Images) -> Iterator[Tensor]:
        """Yield the features of images, batch by batch.

        Features are the output of the frozen encoder or, without an encoder, the input of the network's last layer.
        """
        if isinstance(images.pixels, Encoded):
            as_input = plain_input(images.pixels)
            yield from (as_input(batch).flatten(1).float() for batch in images.pixels.split(self.batch_size))
            return
        with record_inputs(classifier_layer(self.model)) as inputs:
            for _ in iter_logits(self.model, images.pixels, self.batch_size):
                yield torch.cat(inputs)
                inputs.clear()
