"""The model that a run goes on from: which one it is, and whether it fits."""

from __future__ import annotations

from pathlib import Path

from foretype_models import registry
from foretype_models.architecture import Architecture
from foretype_models.bundle import WEIGHTS, Bundle
from foretype_models.runtime import Runtime
from foretype_training import trainer
from foretype_training.display import say
from foretype_training.errors import InputError
from foretype_training.growth import fits, grow
from foretype_training.settings import Config, default_settings, for_base, load_config


def choose(given: str | None, language: str) -> Bundle | None:
    """The model of a name or path, none for registry.NO_MODEL. Where nothing is given, the
    model that is always there, if most of the files are of its language. Says which it is.

    Raises BundleError where it does not pass its self-test.
    """
    if given is None:
        return _default(language)
    if given == registry.NO_MODEL:
        say("going on from no model, as asked for")
        return None
    base = _loaded(given)
    say(f"going on from {base.description.name} {base.description.version}, as asked for")
    return base


def _default(language: str) -> Bundle | None:
    default = registry.find(registry.DEFAULT)
    if not language or registry.describe(default).language != language:
        said = f"mostly {language}" if language else "no language that makes up most of it"
        say(f"{said}: going on from no model; --base names one")
        return None
    base = _loaded(registry.DEFAULT)
    say(
        f"mostly {language}: going on from {base.description.name} {base.description.version};"
        f" --base {registry.NO_MODEL} goes on from none"
    )
    return base


def _loaded(name_or_path: str) -> Bundle:
    """Once it has passed its self-test."""
    base = registry.load(name_or_path)
    Runtime(base)
    return base


def configuration(path: Path | None, characters: int, base: Bundle | None, gpu: bool) -> Config:
    """What the file at `path` says, with defaults that suit the corpus, the base and the machine.

    Raises InputError where the file cannot be used, or asks for what the base is not.
    """
    if base is None:
        defaults = default_settings(characters, gpu)
    else:
        defaults = for_base(characters, gpu, base.description.architecture)
    config = load_config(path, defaults) if path else Config(defaults)
    if base is not None and not fits(base.description.architecture, config.settings.architecture):
        raise InputError(
            f"{path} asks for another architecture than that of the base"
            f" {base.description.name!r}, which may become wider and read memories and more"
            f" contexts, no more;"
            f" leave [architecture] out, or go on from no model with --base {registry.NO_MODEL}"
        )
    return config


def weights(bundle: Bundle, architecture: Architecture) -> trainer.Base:
    """What to go on from with this architecture, into which the bundle's own grows. Raises
    InputError where the weights are not what the description says."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    description = bundle.description
    try:
        weights = load(bundle.files[WEIGHTS])
    except SafetensorError as error:
        raise InputError(f"{WEIGHTS} of {description.name!r} cannot be read: {error}") from error
    expected = trainer.shapes(description.architecture)
    if {name: weight.shape for name, weight in weights.items()} != expected:
        raise InputError(f"{WEIGHTS} of {description.name!r} does not fit its architecture")
    weights = grow(weights, description.architecture, architecture)
    return trainer.Base(description.version, weights)
