"""Measures models on tasks of lm-evaluation-harness besides those of the stream: `--probe lm-eval:mmlu,hellaswag`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from clbench.contracts import LanguageModel, Learner, require
from clbench.core.errors import ClbenchError, ConfigError, did_you_mean
from clbench.core.storage import file_digest
from clbench.core.yaml_text import require_unique_keys
from clbench.learners._text.loading import quiet

LM_EVAL = "lm-eval"
BATCH = 16
"""Batch size of requests to the model."""


@dataclass(frozen=True)
class HarnessProbe:
    """Tasks of lm-evaluation-harness (Gao et al. 2021), few-shot and prompts as the tasks say.

    They are measured before the first task and after the last one. They do not influence training, so they are no
    setting of a cell, and a finished cell can be measured later.

    Attributes:
        tasks: Names of the harness's tasks or groups, or paths of YAML files of own tasks. Any code that the harness
            runs for a task (functions that its YAML names) is run.
    """

    tasks: tuple[str, ...]

    @cached_property
    def asked(self) -> dict[str, str]:
        """Tasks by what decides their results besides the model: release of the harness, name, hash of the file."""
        release = f"{LM_EVAL} {version('lm_eval')}"
        return {f"{release}: {_described(task)}": task for task in self.tasks}

    def require(self) -> None:
        """Refuse unknown tasks and malformed files before anything runs.

        Raises:
            ConfigError: For a task that is not there, or a file with a key twice.
        """
        for task in filter(_is_file, self.tasks):
            _require_sound(Path(task))
        known = self._manager.all_tasks
        for task in self.tasks:
            if task not in known and not _is_file(task):
                raise ConfigError(f"--probe: {LM_EVAL} has no task or file {task!r}: {did_you_mean(task, known)}")

    def measure(self, task: str, learner: Learner) -> dict[str, float]:
        """Results of one task (or of the tasks of a group) by name: `lm-eval/<task>/<metric>`.

        Raises:
            ConfigError: For a learner that is no language model.
            ClbenchError: When the harness fails (a data set that cannot be downloaded).
        """
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        model, tokenizer = require(learner, LanguageModel, "--probe").language_model()
        try:
            with quiet(), torch.no_grad(), learner.autocast():
                wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH)
                found = simple_evaluate(
                    wrapped, tasks=[task], task_manager=self._manager, bootstrap_iters=0, log_samples=False
                )
        except (ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ClbenchError(f"--probe {LM_EVAL}:{task}: {type(error).__name__}: {reason}") from error
        return {key: value for name, row in found["results"].items() for key, value in _numbers(name, row)}

    @cached_property
    def _manager(self) -> Any:
        """The harness's index of its tasks, which takes seconds to build."""
        from lm_eval.tasks import TaskManager

        return TaskManager(include_defaults=not all(map(_is_file, self.tasks)))


def parse_probe(text: str) -> HarnessProbe:
    """`lm-eval:` and tasks separated by commas.

    Raises:
        ConfigError: For anything else, or without the package.
    """
    kind, _, names = text.partition(":")
    tasks = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if kind != LM_EVAL or not tasks:
        raise ConfigError(f"--probe must be {LM_EVAL}: and tasks separated by commas, got {text!r}")
    if find_spec("lm_eval") is None:
        raise ConfigError(f"--probe: {LM_EVAL} is not installed: pip install 'clbench[{LM_EVAL}]'")
    probe = HarnessProbe(tasks)
    probe.require()
    return probe


def _numbers(task: str, row: Mapping[str, object]) -> list[tuple[str, float]]:
    """Numbers of a row of the harness, which are named `metric,filter`; the filter `none` is left out."""
    return [
        (f"{LM_EVAL}/{task}/{key.removesuffix(',none').replace(',', '_')}", float(value))
        for key, value in row.items()
        if "," in key and isinstance(value, int | float)
    ]


def _is_file(task: str) -> bool:
    return task.endswith((".yaml", ".yml")) and Path(task).is_file()


def _require_sound(path: Path) -> None:
    """Refuse a file with a key twice; the harness reads the file itself and would use the later one."""
    try:
        require_unique_keys(path.read_text(encoding="utf-8"))
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--probe: {path} is not sound YAML: {error}") from None


def _described(task: str) -> str:
    return f"{Path(task).name} {file_digest(Path(task))[:8]}" if _is_file(task) else task
