"""Banks of soft prompts, and which of them a task is read with."""

import math

import torch
from torch import Tensor, nn

from clbench.contracts import PromptPlan, Task
from clbench.core.seeding import generator_for


class PromptBanks(nn.ModuleDict):
    """Prompts by who shares them: `all`, `kind_<kind>`, `task_<name>`; each bank `(levels, count, width)`.

    Banks are made when a task that reads them is welcomed, from the seed and the bank's name, so that their first
    values do not depend on which tasks came before.

    Args:
        plan: How many, where and for whom.
        depth: Blocks of the model.
        width: Of a token.
        patch: Side of a patch in pixels, by which prompts start as wide as the released VPT has them.
        seed: The cell's.
    """

    def __init__(self, plan: PromptPlan, depth: int, width: int, patch: int, seed: int) -> None:
        super().__init__()
        self.plan = plan
        self._shape = (depth - plan.enter if plan.deep else 1, plan.count, width)
        self._bound = math.sqrt(6 / (3 * patch**2 + width))
        self._seed = seed

    def keys_of(self, task: Task) -> tuple[str, ...]:
        """The banks whose sum a task is read with; none for a kind without prompts."""
        if task.kind in self.plan.without:
            return ()
        kind, own = f"kind_{task.kind}", f"task_{task.name.replace('.', '%2E')}"
        return {"all": ("all",), "kind": (kind,), "task": (own,), "both": (kind, own)}[self.plan.sharing]

    def add_task(self, task: Task, device: torch.device) -> None:
        """Make the banks that a task reads, if they are not there."""
        for key in self.keys_of(task):
            if key not in self:
                bank = Bank(torch.empty(self._shape))
                self[key] = bank
                self.start(key)
                bank.to(device)

    @torch.no_grad()
    def start(self, key: str) -> None:
        """Put a bank to its first values: cut normal of 0.02, or even within +-sqrt(6 / (3 patch^2 + width))."""
        generator = generator_for(self._seed, "prompts", key)
        first = torch.empty(self._shape)
        if self.plan.start == "normal":
            nn.init.trunc_normal_(first, std=0.02, a=-0.04, b=0.04, generator=generator)
        else:
            first.uniform_(-self._bound, self._bound, generator=generator)
        self._bank(key).copy_(first)

    def of(self, task: Task) -> Tensor | None:
        """The prompts of a task, `(levels, count, width)` with gradient; None where it has none."""
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
