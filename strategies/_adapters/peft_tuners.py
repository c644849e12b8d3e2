"""Which of PEFT's tuners do here what their names say: each was looked at, and what nobody has looked at is refused."""

FIT = frozenset(
    (
        *("adamss", "beft", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora", "hira", "hra"),
        *("ia3", "loha", "lokr", "lora", "miss", "oft", "osf", "peanut", "psoft", "pvera", "randlora", "road", "shira"),
        *("supertuning", "tinylora", "unilora", "vblora", "vera", "waveft"),
    )
)
"""Tuners that need nothing but layers and a training loop, and can be merged."""

PROMPTS = "adds prompts, which cannot be merged into weights"
UNFIT = {
    "adalora": "moves its ranks by a schedule and adds a term to the loss, for which it needs calls in the loop",
    "adaption_prompt": PROMPTS,
    "bone": "is an older name of MiSS: use peft:miss",
    "cartridge": PROMPTS,
    "cpt": PROMPTS,
    "lily": "cannot be merged",
    "ln_tuning": "is for norms; it would train linear layers whole",
    "multitask_prompt_tuning": PROMPTS,
    "p_tuning": PROMPTS,
    "poly": "asks for a number of the task in every forward pass",
    "prefix_tuning": PROMPTS,
    "prompt_tuning": PROMPTS,
    "shadow": "trains nothing in the layers themselves",
    "trainable_tokens": "is for embeddings",
    "xlora": "mixes adapters that were trained before, and cannot be merged",
}
"""Tuners that would run under a name that is not theirs, or not at all, and why."""

DATA_FIRST = "needs data, gradients or a quantisation before training"
UNFIT_SETTINGS: dict[tuple[str, str, object], str] = {
    **{("lora", "init_lora_weights", name): DATA_FIRST for name in ("eva", "corda", "loftq", "lora_ga")},
    ("lora", "use_qalora", True): "is for models that GPTQ has quantised",
    ("adamss", "use_asa", True): "moves its ranks by a schedule, for which it needs calls after every step",
    ("pvera", "sample_at_inference", True): "cannot be merged",
}
"""Values of settings that would be ignored, by tuner and setting, and why."""

UNFIT_FOR_ALL = {
    "alora_invocation_tokens": "cannot be merged",
    "inference_mode": "leaves nothing to train",
    "modules_to_save": "trains other layers whole: choose layers by roles and towers",
    "trainable_token_indices": "is for embeddings",
}
"""Settings that fit no tuner here once they are set, and why."""


def why_not(method: str) -> str | None:
    """What is in the way of a tuner, as the end of a sentence that begins with its name; None where nothing is."""
    if method in FIT:
        return None
    return UNFIT.get(method, "is not known to clbench: it may need data, calls in the loop or a loss of its own")


def why_not_with(method: str, name: str, value: bool | float | str | None) -> str | None:
    """The same for one setting of a tuner that fits."""
    asked = value.lower() if isinstance(value, str) else value
    reason = UNFIT_SETTINGS.get((method, name, asked))
    return reason or (UNFIT_FOR_ALL.get(name) if value not in (None, False) else None)
