"""``tinylm sample``: a trained model goes on with a text."""

from __future__ import annotations

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots

SAMPLE = """Let a trained model go on with a text.

example:
  tinylm sample 3f2a --prompt "The history of" --tokens 80 --temperature 0.8"""


def sample_command(words: list[str]) -> int:
    """``tinylm sample KEY --prompt TEXT``."""
    parser = Parser("tinylm sample", SAMPLE)
    parser.add_argument("key", metavar="KEY", help="a run's key, or its beginning; its weights must have been kept")
    parser.add_argument("--prompt", default="", help="the text to go on with (default: an empty document)")
    parser.add_argument("--tokens", type=int, default=64, help="how many to add at most (default: 64)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0: always the likeliest token (default: 0.8)")
    parser.add_argument("--top-k", type=int, help="choose among the k likeliest only")
    parser.add_argument("--seed", type=int, default=0)
    add_roots(parser)
    options = parser.parse_args(words)
    from tinylm.compose.load import load
    from tinylm.evaluate.sample import sample

    model, tokenizer = load(options.key, roots(options))
    text = sample(
        model,
        tokenizer,
        options.prompt,
        tokens=options.tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        seed=options.seed,
    )
    print(text)
    return 0
