"""Flag names of earlier public code, translated before Hydra sees them, each with a line that says the new one."""

from __future__ import annotations

from jepa_lab.errors import UserError

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
RENAMED = {
    "eval.subspace_enabled": "monitor.subspace",
    "seq_len": "dataset.seq_len",
    # of the public ARC JEPA and of the plan of its authors
    "vq_enabled": "vq.enabled",
    "commitment_cost": "vq.commitment",
    "ema_decay": "vq.ema_decay",
    "vq_refresh_enabled": "vq.refresh.enabled",
    "vq_refresh_interval": "vq.refresh.interval",
    "vq_refresh_usage_threshold": "vq.refresh.threshold",
    "temperature_min": "loss.temperature.min",
    "temperature_max": "loss.temperature.max",
    "sigreg.weight": "loss.sigreg.weight",
    "invariance.color_weight": "loss.invariance.color",
    "invariance.translation_weight": "loss.invariance.translation",
    "invariance.symmetry_weight": "loss.invariance.symmetry",
    "relational_loss.weight": "loss.relational.weight",
    "patience": "early_stop.patience",
}
RATE_TARGETS = {"agg_out": "z_agg", "z_t": "z", "both": "both"}


def translate(words: list[str]) -> tuple[list[str], list[str]]:
    """(today's words, one line for each that changed). A word may be a sweep, `model.teacherless=true,false`.

    UserError for an old flag whose value is none, and for flags that contradict each other or their new names.
    """
    new: list[str] = []
    lines: list[str] = []
    given = {_key(word): _values(word) for word in words if "=" in word}
    if "model.ema" in given and "model.teacherless" in given:
        _require_one_meaning(given["model.ema"], given["model.teacherless"])
    for word in words:
        translated = _translated(word, given)
        if translated != word:
            lines.append(f"{word} is now {translated}")
        if translated not in new:
            new.append(translated)
    return new, lines


def _translated(word: str, given: dict[str, list[str]]) -> str:
    key, values = _key(word), _values(word)
    if key in RENAMED:
        return _native(word, RENAMED[key], values, given)
    if key == "loss.rate_target" and any(v in ("agg_out", "z_t") for v in values):
        return f"{key}={','.join(RATE_TARGETS.get(v, v) for v in values)}"
    if key in ("model.teacherless", "model.ema"):
        other = given.get("model.ema", []) if key == "model.teacherless" else []
        flags = [_flag(word, v) for v in values]
        ema = [not f for f in flags] if key == "model.teacherless" else flags
        if other:  # both were given and agree: the one about the teacher itself decides
            ema = [_flag("model.ema", v) for v in other]
        return _native(word, "target", ["ema" if e else "stopgrad" for e in ema], given)
    if key == "loss.rate_loss_enabled":
        return _rate_enabled(word, [_flag(word, v) for v in values], given)
    return word


def _rate_enabled(word: str, flags: list[bool], given: dict[str, list[str]]) -> str:
    weights = given.get("loss.lambda_rate")
    if weights is None:
        return "loss.lambda_rate=" + ",".join("${recipe.lambda_rate}" if f else "0" for f in flags)
    if len(flags) > 1 or any((_number(weight) != 0) != flags[0] for weight in weights):
        raise UserError(f"{word} and loss.lambda_rate={','.join(weights)} contradict; give loss.lambda_rate alone")
    return f"loss.lambda_rate={','.join(weights)}"


def _native(word: str, key: str, values: list[str], given: dict[str, list[str]]) -> str:
    if key in given and given[key] != values:
        raise UserError(f"{word} and {key}={','.join(given[key])} contradict; give {key} alone")
    return f"{key}={','.join(values)}"


def _require_one_meaning(ema: list[str], teacherless: list[str]) -> None:
    flags = [_flag("model.ema", v) for v in ema], [_flag("model.teacherless", v) for v in teacherless]
    if flags[0] != [not f for f in flags[1]] and (len(ema) > 1 or len(teacherless) > 1 or all(map(all, flags))):
        both = f"model.ema={','.join(ema)} and model.teacherless={','.join(teacherless)}"
        raise UserError(f"{both} contradict; give target=ema or target=stopgrad")


def _flag(word: str, value: str) -> bool:
    if value.lower() not in TRUE + FALSE:
        raise UserError(f"{word}: expected true or false")
    return value.lower() in TRUE


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0  # an interpolation or a range: some weight


def _key(word: str) -> str:
    return word.split("=", 1)[0].lstrip("+")


def _values(word: str) -> list[str]:
    return word.split("=", 1)[1].split(",") if "=" in word else []
