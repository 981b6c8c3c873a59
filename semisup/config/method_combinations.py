"""Check that the loss, debiasing and labeler of a run have an effect with its method."""

from semisup.config.run_id import ConfigDict
from semisup.core.inference import LabelerSettings
from semisup.debias import Debias
from semisup.errors import SettingError
from semisup.loss import Loss, changes_unlabeled
from semisup.method import Method, OfflineMethod, labels_by_model, unlabeled_cross_entropy


def check_combinations(
    config: ConfigDict, method: Method, loss: Loss, debias: Debias, labeler: LabelerSettings
) -> None:
    """Raise SettingError if `loss`, `debias` or `labeler.teachers` has no effect with the method.

    Runs without unlabeled images are not checked.
    """
    if not method.uses_unlabeled:
        return
    name = config["method"]["name"]
    if labeler.teachers > 1 and not isinstance(method, OfflineMethod):
        reason = f"has no effect with method={name}, which labels batches, not the whole unlabeled set"
        raise SettingError("labeler.teachers", labeler.teachers, f"{reason}; use labeler.teachers=1")
    if debias.corrects and not labels_by_model(method):
        reason = f"has no effect with method={name}, whose pseudo-labels do not come from the model"
        raise SettingError("debias", config["debias"]["name"], f"{reason}; use debias=none")
    if unlabeled_cross_entropy(method):
        return
    reason = f"needs a cross-entropy on pseudo-labels, but method={name} compares probabilities"
    if changes_unlabeled(loss):
        raise SettingError("loss.unlabeled", config["loss"].get("unlabeled"), f"{reason}; use loss.unlabeled=none")
    if debias.changes_loss:
        raise SettingError("debias.margin_loss", True, f"{reason}; use debias.margin_loss=false")
