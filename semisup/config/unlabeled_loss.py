"""Check that loss and debiasing have a meaning with the method of a run."""

from semisup.config.run_id import ConfigDict
from semisup.debias import Debias
from semisup.errors import SettingError
from semisup.loss import Loss, changes_unlabeled
from semisup.method import Method, labels_by_model, unlabeled_cross_entropy


def check_unlabeled_loss(config: ConfigDict, method: Method, loss: Loss, debias: Debias) -> None:
    """Raise SettingError if `loss` or `debias` would have no meaning with the method.

    Runs without unlabeled images pass: there, these settings have been set to values without effect.
    """
    if not method.uses_unlabeled:
        return
    name = config["method"]["name"]
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
