"""Whether llama.cpp says of a pruned checkpoint what transformers says of it.

python -m benchmarks.llama_cpp --checkpoint pruned/demo --converter llama.cpp/convert_hf_to_gguf.py

The converter is in llama.cpp's repository and in the source archive of llama-cpp-python
(`pip download llama-cpp-python --no-deps`, under vendor/llama.cpp; it needs sentencepiece).
llama.cpp itself is `pip install xllamacpp`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "The river runs down to the sea, and the"


def by_llama_cpp(checkpoint: Path, converter: Path, tokens: int) -> list[dict[str, Any]]:
    """Convert to float32 GGUF and continue the prompt greedily: a token and its log-probability."""
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        gguf = Path(folder) / "model.gguf"
        command = [sys.executable, str(converter), str(checkpoint), "--outtype", "f32"]
        subprocess.run([*command, "--outfile", str(gguf)], check=True, stderr=subprocess.DEVNULL)
        settings = xllamacpp.CommonParams()
        settings.model.path = str(gguf)
        settings.n_ctx = 512
        server = xllamacpp.Server(settings)
        answer = server.handle_completions(
            {"prompt": PROMPT, "max_tokens": tokens, "temperature": 0, "logprobs": 1}
        )
    said = json.loads(answer) if isinstance(answer, str) else answer
    content: list[dict[str, Any]] = said["choices"][0]["logprobs"]["content"]
    return content


def by_transformers(checkpoint: Path, continuation: list[int]) -> tuple[list[int], list[float]]:
    """Greedy choices before each token of the same text, and the tokens' log-probabilities."""
    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(checkpoint, dtype=torch.float32).eval()
    prompt = AutoTokenizer.from_pretrained(checkpoint)(PROMPT).input_ids
    with torch.no_grad():
        logits = model(torch.tensor([prompt + continuation])).logits[0, len(prompt) - 1 : -1]
    logs = logits.log_softmax(-1)
    return logits.argmax(-1).tolist(), logs[range(len(continuation)), continuation].tolist()


def main() -> None:
    """Compare token by token."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="DIR")
    parser.add_argument("--converter", required=True, type=Path, metavar="FILE")
    parser.add_argument("--tokens", default=16, type=int, metavar="N")
    given = parser.parse_args()
    content = by_llama_cpp(given.checkpoint, given.converter, given.tokens)
    continuation = [int(said["id"]) for said in content]
    greedy, logs = by_transformers(given.checkpoint, continuation)
    differences = [abs(said["logprob"] - log) for said, log in zip(content, logs, strict=True)]
    agreed = sum(a == b for a, b in zip(greedy, continuation, strict=True))
    print(f"greedy tokens that agree: {agreed} of {len(continuation)}")
    print(f"largest difference of a log-probability: {max(differences):.2g}")


if __name__ == "__main__":
    main()
