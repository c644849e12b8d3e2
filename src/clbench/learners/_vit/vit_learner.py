"""The family of vision transformers: one backbone that all tasks share, and a light head for each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clbench.contracts import (
    Batch,
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
from clbench.core.seeding import derive
from clbench.learners._vit.encoding import encoded
from clbench.learners._vit.heads import Head, head_for
from clbench.learners._vit.prompt_banks import PromptBanks
from clbench.learners._vit.trunk import Features, Trunk
from clbench.learners._vit.views_with_truth import augmented

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
"""Begins the name of tokens after some blocks; how many, follows."""


@dataclass(frozen=True)
class ImageFormat:
    """How a model wants its images: side in pixels, mean and standard deviation by channel in [0, 1]."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class VitModel(nn.Module):
    """A backbone of timm, the heads by task, and the prompts, if any."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict()
        self.prompts: PromptBanks | None = None


class VitLearner(Learner):
    """A timm vision transformer for segmentation, classification, detection and regression on images.

    The task is always known. A head is made when its task is welcomed, with weights drawn from the cell's seed and the
    task's name, and only its own task ever trains it. Heads see the tokens after the last block. Images are squashed
    to the model's square; what is predicted on that square is a fraction of width and height.

    Args:
        name: As in a suite.
        backbone: Built by timm without a classifier.
        images: Size and normalisation.
        seed: The cell's, for heads and prompts.
    """

    test_batch = 64

    def __init__(self, name: str, backbone: nn.Module, images: ImageFormat, seed: int) -> None:
        self._trunk = Trunk(backbone)
        self._model = VitModel(backbone).eval()
        super().__init__(name, self._model)
        self._images = images
        self._seed = seed
        self._mean = torch.tensor(images.mean).view(3, 1, 1)
        self._std = torch.tensor(images.std).view(3, 1, 1)
        self._welcomed: dict[str, Task] = {}

    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """See `vit_encode.encoded`."""
        return encoded(rows, task, self._images.size)

    def add_task(self, task: Task) -> None:
        """Make the task's head and the prompts that it is read with."""
        if task.name in self._welcomed:
            return
        self._welcomed[task.name] = task
        self._model.heads[_key(task)] = self._first_head(task).train(self._model.training)
        if self._model.prompts is not None:
            self._model.prompts.add_task(task, self.device)

    def can_test(self, task: Task) -> bool:
        """Whether the task's head is there: before, nothing could be said but noise."""
        return task.name in self._welcomed

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A view that is a little shifted, zoomed and toned; targets go along, prefixes are gone."""
        plain = {name: tensor for name, tensor in batch.items() if not name.startswith(PREFIX)}
        return augmented({**plain, "image": _unit(batch["image"])}, generator)

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The loss of the task's head."""
        head = self._head(task)
        return head.loss(head(self.features(batch, task)), batch)

    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scores of all classes of `tasks`, each read with its own prompts.

        Raises:
            ConfigError: For a task of another kind, or one without head.
        """
        for task in tasks:
            if task.kind != "classification":
                what = "this strategy needs scores of classes"
                raise ConfigError(f"task {task.name!r}: {what}, and there are none in {task.kind}")
        return torch.cat([self._head(task)(self.features(batch, task)) for task in tasks], dim=1)

    def output_space(self) -> str:
        """Heads are made of tasks and tokens."""
        return f"images of {self._images.size} pixels"

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Answers of the heads.

        Raises:
            ConfigError: For another protocol than `task-id`: a head answers for its own task.
        """
        if tuple(protocols) != ("task-id",):
            raise ConfigError(f"{self.name}: is tested under the protocol task-id only, got {', '.join(protocols)}")

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            head = self._head(task)
            scores = head(self.features(batch, task))
            answer = head.predict(scores, self._images.size)
            if "label" in batch:
                return {"task-id": _classes(answer, batch["label"], task)}
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
        """The blocks of the backbone; what feeds them is before, the final norm, heads and prompts after."""
        places = {}
        for name in self.trainable():
            block = BLOCK.match(name)
            first = name.startswith("backbone.") and not name.startswith(("backbone.norm.", "backbone.fc_norm."))
            places[name] = int(block[1]) if block else (-1 if first else self._trunk.depth)
        return Stack(self._trunk.depth, places)

    def head(self, task: Task) -> dict[str, nn.Parameter]:
        """The weights of the task's head."""
        prefix = f"heads.{_key(task)}."
        return {prefix + name: p for name, p in self._head(task).named_parameters()}

    def insert_prompts(self, plan: PromptPlan) -> None:
        """Have prompts; `enter` counts blocks from 0."""
        if not 0 <= plan.enter < self._trunk.depth:
            last = self._trunk.depth - 1
            raise ConfigError(f"{self.name}: prompts must enter at block 0 to {last}, got {plan.enter}")
        trunk = self._trunk
        self._model.prompts = PromptBanks(plan, trunk.depth, trunk.width, trunk.patch, self._seed)
        for task in self._welcomed.values():
            self._model.prompts.add_task(task, self.device)

    def prompts(self, task: Task) -> dict[str, nn.Parameter]:
        """The banks whose sum the task is read with."""
        banks = self._model.prompts
        if banks is None:
            return {}
        return {f"prompts.{key}.{name}": p for key in banks.keys_of(task) for name, p in banks[key].named_parameters()}

    def prefix(self, batch: Batch, blocks: int) -> Batch:
        """Tokens after the first blocks, `(n, tokens, width)` without gradient; on the CPU one image at a time.

        How a matrix product adds up depends on its shape, so images of one batch are not independent to the last bit.
        """
        size = 1 if self.device.type == "cpu" else len(batch["image"])
        with torch.no_grad():
            parts = [self._enter(images, blocks) for images in batch["image"].split(size)]
        return {f"{PREFIX}{blocks}": torch.cat(parts)}

    def features(self, batch: Batch, task: Task) -> Features:
        """What the heads read of a batch, by way of the task's prompts; from a prefix on where the batch has one."""
        banks = self._model.prompts
        prompts = None if banks is None else banks.of(task)
        enter = 0 if banks is None else banks.plan.enter
        done = [name for name in batch if name.startswith(PREFIX)]
        start = int(done[0].removeprefix(PREFIX)) if done else 0
        x = batch[done[0]] if done else self._enter(batch["image"], 0)
        return self._trunk.features(self._trunk.run(x, start, self._trunk.depth, prompts, enter))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy weights in; heads and prompts that the state does not have go back to their first values."""
        there = dict(state)
        for name, task in self._welcomed.items():
            if not any(key.startswith(f"heads.{_key(task)}.") for key in there):
                fresh = self._first_head(self._welcomed[name]).state_dict()
                there |= {f"heads.{_key(task)}.{key}": tensor for key, tensor in fresh.items()}
        banks = self._model.prompts
        for key in banks or ():
            if f"prompts.{key}.tokens" not in there and banks is not None:
                banks.start(key)
                there |= {f"prompts.{key}.{name}": tensor for name, tensor in banks[key].state_dict().items()}
        self.module.load_state_dict(there)

    def _enter(self, images: Tensor, blocks: int) -> Tensor:
        return self._trunk.run(self._trunk.embed(self._normalised(images)), 0, blocks)

    def _first_head(self, task: Task) -> Head:
        """The task's head as it is before any training, on the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self._seed, "head", task.name))
            return head_for(task, self._trunk.width).to(self.device)

    def _head(self, task: Task) -> Head:
        if task.name not in self._welcomed:
            raise ConfigError(f"{self.name}: has no head for task {task.name!r}, which has not come yet")
        head = self._model.heads[_key(task)]
        assert isinstance(head, Head)
        return head

    def _normalised(self, images: Tensor) -> Tensor:
        if self._mean.device != images.device:
            self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
        return (_unit(images) - self._mean) / self._std


def _unit(images: Tensor) -> Tensor:
    """uint8 images in [0, 1]; others are there already."""
    return images if images.is_floating_point() else images.float() / 255


def _key(task: Task) -> str:
    """The task's name as torch allows it for a module, and none that a `ModuleDict` has a method of."""
    return f"task_{task.name.replace('.', '%2E')}"


def _classes(scores: Tensor, target: Tensor, task: Task) -> Predictions:
    chances = scores.softmax(dim=-1)
    confidence, prediction = chances.max(dim=-1)
    return Predictions(
        prediction,
        target,
        task.classes,
        correct=prediction == target,
        confidence=confidence,
        probabilities=chances,
    )
