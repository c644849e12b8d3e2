"""The family of vision transformers: one backbone that all tasks share, and a light head for each task."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clbench.contracts import (
    Batch,
    ClassScores,
    EvalProtocol,
    Learner,
    LinearLayer,
    Predictions,
    Predictor,
    PromptPlan,
    Samples,
    Stack,
    Task,
)
from clbench.core.errors import ConfigError
from clbench.core.finite import finite_rows
from clbench.core.seeding import derive, seeded_apart
from clbench.kinds import kind_of
from clbench.learners._shared.classes import most_likely
from clbench.learners._shared.image_format import ImageFormat, Normalization, in_unit_range
from clbench.learners._vit.augmentation import augmented
from clbench.learners._vit.encoding import encoded
from clbench.learners._vit.heads import Head, head_for
from clbench.learners._vit.prompt_banks import PromptBanks
from clbench.learners._vit.trunk import Features, Trunk

if TYPE_CHECKING:
    from datasets import Dataset

ROLES = {
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "proj": "out",
    "fc1": "up",
    "fc1_x": "up",
    "fc1_g": "gate",
    "fc2": "down",
}
BLOCK = re.compile(r"^backbone\.blocks\.(\d+)\.")
PREFIX = "prefix."
"""Name of a batch's tokens after some blocks, before the number of blocks."""


class VitModel(nn.Module):
    """A backbone of timm, the heads of all tasks, and the prompts, if any."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict()
        self.prompts: PromptBanks | None = None


class VitLearner(ClassScores, Learner):
    """A timm vision transformer for segmentation, classification, detection and regression on images.

    The task of a sample is always known. `add_task` creates a head with weights drawn from the cell's seed and the
    task's name, and only its own task trains it. Heads read the tokens after the last block. Images are resized to a
    square, each axis by its own factor; positions are fractions of width and height.

    Args:
        name: Name of the learner in a suite.
        backbone: Model of timm without a classifier.
        image_format: Size and normalisation of images.
        seed: Seed of the cell, for heads and prompts.
    """

    module: VitModel
    test_batch = 64

    def __init__(self, name: str, backbone: nn.Module, image_format: ImageFormat, seed: int) -> None:
        self.trunk = Trunk(backbone)
        super().__init__(name, VitModel(backbone).eval())
        self.image_format = image_format
        self._normalization = Normalization(image_format)
        self._seed = seed
        self._tasks: dict[str, Task] = {}

    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Images and targets, see `encoding.encoded`."""
        return encoded(rows, task, self.image_format.size)

    def add_task(self, task: Task) -> None:
        """Create the task's head and the banks of prompts that it reads."""
        if task.name in self._tasks:
            return
        self._tasks[task.name] = task
        self.module.heads[_key(task)] = self._first_head(task).train(self.module.training)
        if self.module.prompts is not None:
            self.module.prompts.add_task(task, self.device)

    def can_test(self, task: Task) -> bool:
        """Whether the task has a head; before, its predictions would be noise."""
        return task.name in self._tasks

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A view that is shifted, zoomed and changed in tone, with its targets, see `augmentation.augmented`.

        A prefix is left out: it belongs to the image before the change.
        """
        plain = {name: tensor for name, tensor in batch.items() if not name.startswith(PREFIX)}
        return augmented({**plain, "image": in_unit_range(batch["image"])}, generator)

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Loss of the task's head."""
        head = self._head(task)
        return head.loss(head(self.features(batch, task)), batch)

    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scores of all classes of `tasks`, each task read with its own prompts.

        Raises:
            ConfigError: For a task that is not classification, or has no head.
        """
        for task in tasks:
            if not kind_of(task.kind).has_class(task):
                what = "this strategy needs scores of classes"
                raise ConfigError(f"task {task.name!r}: {what}, and there are none in {task.kind}")
        return torch.cat([self._head(task)(self.features(batch, task)) for task in tasks], dim=1)

    def output_space(self) -> str:
        """Samples are images of one size; outputs are those of heads, which depend on the task only."""
        return f"images of {self.image_format.size} pixels"

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predict by the head of the sample's task.

        Raises:
            ConfigError: For a protocol other than `task-id`: a head answers for its own task only.
        """
        if tuple(protocols) != ("task-id",):
            raise ConfigError(f"{self.name}: is tested under the protocol task-id only, got {', '.join(protocols)}")

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            head = self._head(task)
            scores = head(self.features(batch, task))
            answer = head.predict(scores, self.image_format.size)
            if "label" in batch:
                return {"task-id": most_likely(answer.softmax(dim=-1), batch["label"], task.classes, keep=True)}
            return {"task-id": Predictions(answer, finite=finite_rows(scores))}

        return predict

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """The projections of attention and MLP in every block."""
        found = []
        for name, module in self.module.named_modules():
            block = BLOCK.match(name)
            if isinstance(module, nn.Linear) and block:
                role = ROLES.get(name.rpartition(".")[2], "other")
                found.append(LinearLayer(name, role, "vision", int(block[1])))
        return tuple(found)

    def stack(self) -> Stack:
        """The blocks of the backbone; patch embedding is before them, the final norm, heads and prompts after them."""
        block_of = {}
        for name in self.trainable():
            block = BLOCK.match(name)
            first = name.startswith("backbone.") and not name.startswith(("backbone.norm.", "backbone.fc_norm."))
            block_of[name] = int(block[1]) if block else (-1 if first else self.trunk.depth)
        return Stack(self.trunk.depth, block_of)

    def counted_module(self) -> nn.Module:
        """The norm after the last block: a pass counts once, whether it begins at the image or at a prefix.

        Passes that end in a prefix are left out; that they are made depends on the room for prefixes.
        """
        return self.trunk.final_norm

    def head(self, task: Task) -> dict[str, nn.Parameter]:
        """The parameters of the task's head."""
        prefix = f"heads.{_key(task)}."
        return {prefix + name: p for name, p in self._head(task).named_parameters()}

    def insert_prompts(self, plan: PromptPlan) -> None:
        """Create the banks of prompts of all tasks so far.

        Raises:
            ConfigError: For a first block that does not exist.
        """
        if not 0 <= plan.first_block < self.trunk.depth:
            last = self.trunk.depth - 1
            raise ConfigError(f"{self.name}: prompts must enter at block 0 to {last}, got {plan.first_block}")
        trunk = self.trunk
        self.module.prompts = PromptBanks(plan, trunk.depth, trunk.width, trunk.patch, self._seed)
        for task in self._tasks.values():
            self.module.prompts.add_task(task, self.device)

    def prompts(self, task: Task) -> dict[str, nn.Parameter]:
        """The banks of prompts whose sum the task reads."""
        banks = self.module.prompts
        if banks is None:
            return {}
        return {f"prompts.{key}.{name}": p for key in banks.keys_of(task) for name, p in banks[key].named_parameters()}

    def prefix(self, batch: Batch, blocks: int) -> Batch:
        """Tokens after the first blocks, `(n, tokens, width)` without gradient; on the CPU, one image at a time.

        The order of additions in a matrix product depends on its shape, so the bits of one image would otherwise depend
        on the size of its batch.
        """
        size = 1 if self.device.type == "cpu" else len(batch["image"])
        with torch.no_grad():
            parts = [self._enter(images, blocks) for images in batch["image"].split(size)]
        return {f"{PREFIX}{blocks}": torch.cat(parts)}

    def features(self, batch: Batch, task: Task) -> Features:
        """What heads read of a batch, with the task's prompts; computed from the prefix on if the batch has one."""
        banks = self.module.prompts
        prompts = None if banks is None else banks.of(task)
        first_block = 0 if banks is None else banks.plan.first_block
        done = [name for name in batch if name.startswith(PREFIX)]
        start = int(done[0].removeprefix(PREFIX)) if done else 0
        x = batch[done[0]] if done else self._enter(batch["image"], 0)
        return self.trunk.features(self.trunk.run(x, start, self.trunk.depth, prompts, first_block))

    def checkpoint_blocks(self, on: bool) -> None:
        """For every block."""
        self.trunk.checkpointing = on

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy weights in; heads and prompts that the state lacks are set back to their first values."""
        complete = dict(state)
        for task in self._tasks.values():
            if not any(key.startswith(f"heads.{_key(task)}.") for key in complete):
                fresh = self._first_head(task).state_dict()
                complete |= {f"heads.{_key(task)}.{key}": tensor for key, tensor in fresh.items()}
        banks = self.module.prompts
        for key in banks or ():
            if f"prompts.{key}.tokens" not in complete and banks is not None:
                banks.reset(key)
                complete |= {f"prompts.{key}.{name}": tensor for name, tensor in banks[key].state_dict().items()}
        self.module.load_state_dict(complete)

    def _enter(self, images: Tensor, blocks: int) -> Tensor:
        return self.trunk.run(self.trunk.embed(self._normalization(images)), 0, blocks)

    def _first_head(self, task: Task) -> Head:
        """A head of the task before any training, on the device."""
        with seeded_apart(derive(self._seed, "head", task.name)):
            return head_for(task, self.trunk.width).to(self.device)

    def _head(self, task: Task) -> Head:
        if task.name not in self._tasks:
            raise ConfigError(f"{self.name}: has no head for task {task.name!r}, which has not come yet")
        head = self.module.heads[_key(task)]
        assert isinstance(head, Head)
        return head


def _key(task: Task) -> str:
    """The task's name as a valid name of a module that no method of `ModuleDict` has."""
    return f"task_{task.name.replace('.', '%2E')}"
