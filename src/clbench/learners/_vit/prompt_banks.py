"""Banks of soft prompts, and the banks that a task reads."""

import math

import torch
from torch import Tensor, nn

from clbench.contracts import PromptPlan, Task
from clbench.core.seeding import generator_for


class PromptBanks(nn.ModuleDict):
    """Banks by the tasks that share them: `all`, `kind_<kind>`, `task_<name>`; each is `(levels, count, width)`.

    A bank is created with the first task that reads it. Its first values are drawn from the seed and its own name, so
    they do not depend on the tasks before.

    Args:
        plan: Number of prompts, their blocks and sharing.
        depth: Number of blocks of the model.
        width: Width of a token.
        patch: Side of a patch in pixels; it sets the range of uniform first values, as in the released code of VPT.
        seed: Seed of the cell.
    """

    def __init__(self, plan: PromptPlan, depth: int, width: int, patch: int, seed: int) -> None:
        super().__init__()
        self.plan = plan
        self._shape = (depth - plan.first_block if plan.deep else 1, plan.count, width)
        self._bound = math.sqrt(6 / (3 * patch**2 + width))
        self._seed = seed

    def keys_of(self, task: Task) -> tuple[str, ...]:
        """Names of the banks whose sum a task reads; none for a kind without prompts."""
        if task.kind in self.plan.excluded:
            return ()
        kind, own = f"kind_{task.kind}", f"task_{task.name.replace('.', '%2E')}"
        return {"all": ("all",), "kind": (kind,), "task": (own,), "both": (kind, own)}[self.plan.sharing]

    def add_task(self, task: Task, device: torch.device) -> None:
        """Create the banks that a task reads, if they do not exist."""
        for key in self.keys_of(task):
            if key not in self:
                bank = Bank(torch.empty(self._shape))
                self[key] = bank
                self.reset(key)
                bank.to(device)

    @torch.no_grad()
    def reset(self, key: str) -> None:
        """Set a bank to its first values: truncated normal of 0.02, or uniform in +-sqrt(6 / (3 patch^2 + width))."""
        generator = generator_for(self._seed, "prompts", key)
        first = torch.empty(self._shape)
        if self.plan.init == "normal":
            nn.init.trunc_normal_(first, std=0.02, a=-0.04, b=0.04, generator=generator)
        else:
            first.uniform_(-self._bound, self._bound, generator=generator)
        self._bank(key).copy_(first)

    def of(self, task: Task) -> Tensor | None:
        """The prompts of a task, `(levels, count, width)` with gradient; None if it has none."""
        parts = [self._bank(key) for key in self.keys_of(task)]
        return sum(parts[1:], parts[0]) if parts else None

    def _bank(self, key: str) -> Tensor:
        bank = self[key]
        assert isinstance(bank, Bank)
        return bank.tokens


class Bank(nn.Module):
    """One bank: `tokens` `(levels, count, width)`."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = nn.Parameter(tokens)
