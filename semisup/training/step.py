"""One step of the training: the loss, its gradient, and the update of the weights."""

import torch

from semisup.core.ema import decay_at, update_average
from semisup.method import Position, TrainingContext, seed_dropout
from semisup.runtime.distributed import all_reduce_gradients
from semisup.training.state import State, TrainingConfig


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the present learning rate of a training.

    If the classifier has a rate of its own (`optimizer.head_lr`), the result is the rate of the other layers.
    """
    groups = optimizer.param_groups
    full = [group for group in groups if group["lr_scale"] <= 1] or groups
    return max(float(group["lr"]) for group in full)


def training_step(training: TrainingContext, settings: TrainingConfig, state: State, position: Position) -> None:
    """Train for one step: compute the loss and its gradient, and update the weights and the counters of `state`."""
    # nothing here waits for the GPU, except methods with `skip_rejected`
    seed_dropout(settings.seed, position.step)
    rate = settings.optimizer.lr * settings.schedule.factor(position.progress)
    trained: list[torch.Tensor] = []
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
        trained += group["params"]
    if not state.student.training:  # setting the mode of every layer takes a millisecond
        state.student.train()
    state.head_first.update(position.progress)
    losses, state.memory = settings.method.loss(training, state.memory, position)
    for parameter in trained:  # zero_grad of a small model takes as long as its optimizer step
        parameter.grad = None
    losses.total.backward()
    all_reduce_gradients(state.student)
    norm = limit_gradient(trained, settings.train.max_grad_norm)
    checked = losses.total.detach() + norm  # a sum with an infinite or undefined value is not finite
    state.optimizer.step()
    if state.average is not None:
        state.ema_updates += 1
        plan = settings.train
        decay = decay_at(plan.ema_decay or 0.0, state.ema_updates, warmup=plan.ema_warmup)
        update_average(state.averaged_tensors(statistics=plan.ema_buffers), decay)
    state.running_sums += losses.sums
    state.check_finite(checked, position.step + 1)
    state.step += 1
    state.position += 1


def limit_gradient(trained: list[torch.Tensor], max_norm: float | None) -> torch.Tensor:
    """Clip the gradients to the norm `max_norm` (None = no clipping).

    Args:
        trained: the parameters that the optimizer updates.

    Returns:
        () float on the device, the norm of all gradients; without clipping, the sum of the norms of the parameters'
        gradients, which is finite if and only if all gradients are. 0 if no parameter has a gradient.
    """
    # A finite loss can have a gradient that is not finite; one step later, no weight is finite. The norm also overflows
    # for gradients above 1.8e19, with which no training can continue. It takes 0.36 ms for small_cnn and 1.7 ms for
    # WRN-28-2 (one thread), 0.2 to 0.5 % of a step; the largest absolute value would take 0.8 and 24 ms.
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    if max_norm is None:
        return torch.stack(torch._foreach_norm(gradients)).sum()
    norm = torch.nn.utils.get_total_norm(gradients)
    torch.nn.utils.clip_grads_with_norm_([each for each in trained if each.grad is not None], max_norm, norm)
    return norm
