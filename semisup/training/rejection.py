"""Score the unlabeled images for the group `reject`, and find the limit below which they are rejected.

The model that is evaluated scores all unlabeled and validation images in eval mode, without augmentation. Online
methods need the scores before the first step; they are computed again at every evaluation, and apply from the next
step on. Offline methods need them when they label the unlabeled set. Scores of the stored features of a frozen encoder
do not change and are computed once. With `reject.keep`, the limit is computed again together with the scores.

Scores cost one forward pass of the unlabeled images for each evaluation; on the stored features of an encoder, this is
one matrix product.
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
    """Whether the scores must be computed before the next step of the training."""
    return _is_used(problem, settings) and not isinstance(settings.method, OfflineMethod) and SCORE not in state.memory


def scores_after_evaluation(
    problem: TrainingData, settings: TrainingConfig, training: TrainingContext, state: State, accuracy: float
) -> bool:
    """Whether the scores must be computed again after an evaluation with this validation accuracy.

    An offline method needs them only if it labels the unlabeled set next.
    """
    if not _is_used(problem, settings) or (SCORE in state.memory and _is_constant(problem, settings)):
        return False
    if not isinstance(settings.method, OfflineMethod):
        return True
    position = Position(state.step, state.epoch, state.position, 0.0)
    return state.position == 0 and settings.method.will_relabel(training, position, accuracy)


def score_unlabeled(problem: TrainingData, settings: TrainingConfig, state: State) -> Generator[Event, None, StateDict]:
    """Score the unlabeled images; return the scores, the limit and the accepted images, by the names in the memory.

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


def selected_limit(problem: TrainingData, settings: TrainingConfig, state: State) -> MetricsRow:
    """Return the limit for the best model, whose weights the teacher has now, as an entry of the summary.

    Returns:
        {} if the run rejects no image.
    """
    if not _is_used(problem, settings):
        return {}
    assert isinstance(settings.reject, Reject)
    scorer = _Scorer(settings.reject, state.teacher, problem.labeled, settings.train.eval_batch_size)
    return {"best/reject_limit": float(_limit(problem, settings.reject, scorer))}


def _limit(problem: TrainingData, reject: Reject, scorer: "_Scorer") -> Tensor:
    """Return the lowest score of an accepted image, () float32."""
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
    """Scores of images by one option of the group, with one model.

    Args:
        labeled: the labeled images, to whose features the features of other images are compared.
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
        """Yield the features of images, batch by batch: those of the encoder, or the input of the classifier layer."""
        if isinstance(images.pixels, Encoded):
            as_input = plain_input(images.pixels)
            yield from (as_input(batch).flatten(1).float() for batch in images.pixels.split(self.batch_size))
            return
        with record_inputs(classifier_layer(self.model)) as inputs:
            for _ in iter_logits(self.model, images.pixels, self.batch_size):
                yield torch.cat(inputs)
                inputs.clear()
