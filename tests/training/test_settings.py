"""A configuration file: what may stand in it, and what is said of what may not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from foretype_models.architecture import Architecture
from foretype_training.errors import InputError
from foretype_training.settings import (
    Config,
    Settings,
    Source,
    default_settings,
    for_base,
    load_config,
)

DEFAULTS = Settings(architecture=Architecture(hidden_size=48), batch=7)


def _load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "config.toml").write_text(text)
    return load_config(tmp_path / "config.toml", DEFAULTS)


def test_what_it_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    assert _load(tmp_path, "") == Config(DEFAULTS)
    settings = _load(tmp_path, "epochs = 2\n[architecture]\nlayers = 1\n").settings
    assert settings == Settings(Architecture(hidden_size=48, layers=1), epochs=2.0, batch=7)


def test_sources_name_the_data(tmp_path: Path) -> None:
    text = '[[sources]]\nname = "Lang"\nversion = "3.12"\nlicence = "Apache-2.0"\n'
    assert _load(tmp_path, text * 2).sources == (Source("Lang", "3.12", "Apache-2.0"),) * 2


def test_settings_survive_a_checkpoint() -> None:
    settings = Settings(Architecture("gru", layers=1, ngrams=()), epochs=0.1, learning_rate=1e-4)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is not valid TOML: Invalid value"),
        ("epoch = 3", "unknown setting 'epoch'; there are architecture, epochs, batch, window,"),
        ("epochs = 'three'", "epochs must be a number, not 'three'"),
        ("epochs = true", "epochs must be a number, not True"),
        ("epochs = 0", "epochs must be above 0 and at most 10000, not 0.0"),
        ("epochs = nan", "epochs must be above 0 and at most 10000, not nan"),
        ("epochs = inf", "epochs must be above 0 and at most 10000, not inf"),
        ("batch = 1.5", "batch must be a whole number, not 1.5"),
        ("batch = 0", "batch must be above 0 and at most 4096, not 0"),
        ("window = 10000", "window must be above 0 and at most 8192, not 10000"),
        ("learning_rate = 2", "learning_rate must be above 0 and at most 1, not 2.0"),
        ("warmup = 1", "warmup must be at least 0 and below 1, not 1.0"),
        ("decay = -0.1", "decay must be at least 0 and below 1, not -0.1"),
        ("dropout = 1", "dropout must be at least 0 and below 1, not 1.0"),
        ("clip = 0", "clip must be above 0 and at most 1000000.0, not 0.0"),
        ("validations = 0", "validations must be above 0 and at most 10000, not 0"),
        ("seed = -1", "seed must be above -1 and at most 4294967295, not -1"),
        ("architecture = 3", "architecture must be a table"),
        ("[architecture]\ncell = 'mamba'", "architecture: unknown cell 'mamba'; there are lstm"),
        ("[architecture]\nbatch = 3", "architecture: unknown setting 'batch'"),
        ("sources = 3", "sources must be written as tables [[sources]]"),
        ("sources = [3]", "each of sources needs name, version, licence, all strings; not 3"),
        ("[[sources]]\nname = 'a'", "each of sources needs name, version, licence, all strings"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        _load(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "config.toml"))
    assert message in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.toml: No such file"):
        load_config(tmp_path / "none.toml", DEFAULTS)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"binary\.toml is not valid TOML"):
        load_config(tmp_path / "binary.toml", DEFAULTS)


def test_the_defaults_grow_with_the_text_and_the_machine() -> None:
    def size(characters: int, gpu: bool = False) -> int:
        shape = default_settings(characters, gpu).architecture
        return shape.layers * shape.hidden_size**2

    sizes = [size(10_000), size(1_000_000), size(10_000_000), size(10_000_000, gpu=True)]
    assert sizes == sorted(set(sizes))
    assert size(100_000_000, gpu=True) > size(10_000_000, gpu=True)
    assert default_settings(100_000_000, gpu=False).epochs == 1


def test_going_on_keeps_the_shape_and_takes_smaller_steps() -> None:
    shape = Architecture("rnn", hidden_size=20)
    settings = for_base(10_000, gpu=False, architecture=shape)
    assert settings.architecture == shape
    assert settings.epochs < default_settings(10_000, gpu=False).epochs
    assert settings.learning_rate < Settings().learning_rate


def test_a_large_repository_is_gone_on_with_within_minutes() -> None:
    shape = Architecture(hidden_size=512, layers=3)
    read = {size: size * for_base(size, False, shape).epochs for size in (2_000_000, 5_000_000)}
    assert read == {2_000_000: 6_000_000, 5_000_000: 6_000_000}
    assert for_base(50_000_000, False, shape).epochs == 1
    assert for_base(5_000_000, True, shape).epochs == 3  # a GPU reads that as fast


def test_the_manual_names_every_setting_and_its_default() -> None:
    """docs/training.md shows a configuration file that says what would be so without it."""
    manual = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    [shown] = [part for part in manual.split("```toml\n")[1:] if "epochs" in part]
    values: dict[str, Any] = tomllib.loads(shown.partition("```")[0])
    sources = values.pop("sources")
    assert Settings.from_dict(values) == Settings()
    assert set(values) == set(Settings().to_dict())
    assert set(values["architecture"]) == set(Architecture().to_dict())
    assert [Source.from_dict(source) for source in sources]
