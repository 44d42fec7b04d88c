"""``tinylm sample``: a trained model goes on with a text."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots
from tinylm.errors import UserError

if TYPE_CHECKING:
    from tinylm.model.lm import LanguageModel

SAMPLE = """Let a trained model go on with a text.

examples:
  tinylm sample 3f2a --prompt "The history of" --tokens 80 --temperature 0.8 --top-p 0.9
  tinylm sample 3f2a --prompt "def read(" --prompt "class " --samples 3 --seed 7
  tinylm sample 3f2a --speed                            what the cache of keys and values saves

The n-th text of a prompt depends on the seed and n alone. Beyond the model's context the text goes on in windows, each
half a window after the one before."""


def sample_command(words: list[str]) -> int:
    """``tinylm sample KEY --prompt TEXT``."""
    parser = Parser("tinylm sample", SAMPLE)
    parser.add_argument(
        "key",
        metavar="KEY",
        help="a run's key, or its beginning, whose weights must have been kept; or hf:FOLDER, hf:OWNER/NAME",
    )
    parser.add_argument(
        "--prompt", action="append", help="the text to go on with; may stand several times (default: a new document)"
    )
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="texts for each prompt (default: 1)")
    parser.add_argument("--tokens", type=int, default=64, help="how many to add at most (default: 64)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0: always the likeliest token (default: 0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest tokens only")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="choose among the fewest likeliest tokens that hold P of the odds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--domain", metavar="NAME", help="of the text, for models that route by it (default: the first they know)"
    )
    parser.add_argument("--speed", action="store_true", help="say too how long a token takes, with and without a cache")
    add_roots(parser)
    options = parser.parse_args(words)
    for name in ("samples", "tokens"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} is {getattr(options, name)}; give 1 or more")
    from tinylm.compose.load import load
    from tinylm.evaluate.domain import domain_of
    from tinylm.evaluate.sample import samples
    from tinylm.runs.allocator import keep_memory

    keep_memory()
    model, tokenizer = load(options.key, roots(options))
    prompts, domain = options.prompt or [""], domain_of(model, options.domain, "--domain")
    found = samples(
        model,
        tokenizer,
        prompts,
        number=options.samples,
        tokens=options.tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        domain=domain,
    )
    alone = len(prompts) * options.samples == 1
    for place, texts in enumerate(found, start=1):
        for number, text in enumerate(texts, start=1):
            if not alone:
                print(f"--- prompt {place} of {len(prompts)}, text {number} of {options.samples}")
            print(text)
    if options.speed:
        print(_speed(model, [tokenizer.bos, *tokenizer.encode(prompts[0])], options, domain), file=sys.stderr)
    return 0


def _speed(model: LanguageModel, prompt: list[int], options: argparse.Namespace, domain: int | None) -> str:
    import torch

    from tinylm.evaluate.latency import pace

    cached, uncached = pace(model, prompt, options.tokens, domain)
    return (
        f"one text, {options.tokens} tokens after {len(prompt)}, {torch.get_num_threads()} threads: "
        f"{1e3 * cached:.2f} ms a token with the cache, {1e3 * uncached:.2f} ms without ({uncached / cached:.1f} times)"
    )
