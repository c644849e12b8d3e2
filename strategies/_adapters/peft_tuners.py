"""PEFT's tuners that work in our training loop, by review of each; tuners without a review are refused."""

FIT = frozenset(
    (
        *("adamss", "beft", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora", "hira", "hra"),
        *("ia3", "loha", "lokr", "lora", "miss", "oft", "osf", "peanut", "psoft", "pvera", "randlora", "road", "shira"),
        *("supertuning", "tinylora", "unilora", "vblora", "vera", "waveft"),
    )
)
"""Tuners that need only layers and a training loop, and can be merged."""

PROMPTS = "adds prompts, which cannot be merged into weights"
UNFIT = {
    "adalora": "changes ranks by a schedule and adds a term to the loss, for which it needs calls in the loop",
    "adaption_prompt": PROMPTS,
    "bone": "is an older name of MiSS: use peft:miss",
    "cartridge": PROMPTS,
    "cpt": PROMPTS,
    "lily": "cannot be merged",
    "ln_tuning": "is for norms; it would train whole linear layers",
    "multitask_prompt_tuning": PROMPTS,
    "p_tuning": PROMPTS,
    "poly": "needs a number of the task in every forward pass",
    "prefix_tuning": PROMPTS,
    "prompt_tuning": PROMPTS,
    "shadow": "trains nothing in the layers themselves",
    "trainable_tokens": "is for embeddings",
    "xlora": "mixes adapters that were trained before and cannot be merged",
}
"""Tuners that would fail or not do what their name says, with the reason."""

DATA_FIRST = "needs data, gradients or quantization before training"
UNFIT_SETTINGS: dict[tuple[str, str, object], str] = {
    **{("lora", "init_lora_weights", name): DATA_FIRST for name in ("eva", "corda", "loftq", "lora_ga")},
    ("lora", "use_qalora", True): "is for models quantized by GPTQ",
    ("adamss", "use_asa", True): "changes ranks by a schedule, for which it needs calls after every step",
    ("pvera", "sample_at_inference", True): "cannot be merged",
}
"""Values that would be ignored or fail, by tuner and setting, with the reason."""

UNFIT_FOR_ALL = {
    "alora_invocation_tokens": "cannot be merged",
    "inference_mode": "leaves no parameter to train",
    "modules_to_save": "trains whole layers: choose layers by roles and towers",
    "trainable_token_indices": "is for embeddings",
}
"""Settings that must not be set for any tuner, with the reason."""


def why_not(method: str) -> str | None:
    """Why a tuner is refused, as the end of a sentence that begins with its name; None if it is accepted."""
    if method in FIT:
        return None
    return UNFIT.get(method, "is not known to clbench: it may need data, calls in the loop or a loss of its own")


def why_not_with(method: str, name: str, value: bool | float | str | None) -> str | None:
    """Why a setting of an accepted tuner is refused, as the end of a sentence; None if it is accepted.

    Args:
        method: PEFT's name of the tuner, in lower case.
        name: Name of the setting.
        value: Its value.
    """
    asked = value.lower() if isinstance(value, str) else value
    reason = UNFIT_SETTINGS.get((method, name, asked))
    return reason or (UNFIT_FOR_ALL.get(name) if value not in (None, False) else None)
