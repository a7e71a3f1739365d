r"""Agreement of llama.cpp with transformers on a pruned checkpoint.

    python -m benchmarks.interop.llama_cpp --checkpoint pruned/demo \
        --converter llama.cpp/convert_hf_to_gguf.py

The converter is in llama.cpp's repository and in the source archive of llama-cpp-python
(`pip download llama-cpp-python --no-deps`, under vendor/llama.cpp; it needs sentencepiece).
llama.cpp itself is `pip install xllamacpp`. transformers cannot load a `block_configs` checkpoint:
compare it with the re-packed checkpoint of the same pattern (`--against`). The converter accepts
such checkpoints only for models with Llama's own tokenizers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.interop.agreement import PROMPT, compare, comparing_parser


def by_llama_cpp(
    checkpoint: Path, tokens: int, *, converter: Path
) -> tuple[list[int], list[float]]:
    """Convert to float32 GGUF and continue the prompt greedily."""
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        gguf = Path(folder) / "model.gguf"
        command = [sys.executable, str(converter), str(checkpoint), "--outtype", "f32"]
        subprocess.run([*command, "--outfile", str(gguf)], check=True)
        settings = xllamacpp.CommonParams()
        settings.model.path = str(gguf)
        settings.n_ctx = 512
        server = xllamacpp.Server(settings)
        answer = server.handle_completions(
            {"prompt": PROMPT, "max_tokens": tokens, "temperature": 0, "logprobs": 1}
        )
    said = json.loads(answer) if isinstance(answer, str) else answer
    content = said["choices"][0]["logprobs"]["content"]
    return [int(token["id"]) for token in content], [token["logprob"] for token in content]


def main() -> None:
    """Compare token by token."""
    parser = comparing_parser(__doc__)
    parser.add_argument("--converter", required=True, type=Path, metavar="FILE")
    given = parser.parse_args()
    compare(given, partial(by_llama_cpp, converter=given.converter))


if __name__ == "__main__":
    main()
