"""Use torch's optimizers without importing torch's compiler.

The methods of `torch.optim` are decorated by `torch._disable_dynamo`, which imports the compiler at the first call.
This takes 3.4 s (torch 2.13, one thread). The methods without the decorator give bit-identical results.
"""

import inspect
from typing import Any

import torch

WRAPPED_METHODS = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def without_dynamo(optimizer: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Build a subclass of a torch optimizer whose methods do not import torch's compiler.

    Its `step` takes no argument and calls no hooks of `step`, neither those of the optimizer, which cannot be
    registered, nor those that torch keeps for all optimizers.
    """
    plain_step: Any = inspect.unwrap(optimizer.step)

    @torch.no_grad()
    def step(self: torch.optim.Optimizer) -> None:
        plain_step(self)

    def refuse_hook(self: torch.optim.Optimizer, hook: object) -> None:
        raise NotImplementedError(f"{type(self).__name__}.step calls no hooks here")

    step.hooked = True  # type: ignore[attr-defined]  # else torch adds a profiler label to every call, 20 microseconds
    undecorated: dict[str, Any] = {name: inspect.unwrap(getattr(optimizer, name)) for name in WRAPPED_METHODS}
    hooks = dict.fromkeys(("register_step_pre_hook", "register_step_post_hook"), refuse_hook)
    return type(optimizer.__name__, (optimizer,), undecorated | hooks | {"step": step})
