"""lm-eval's own command line with our model and our tasks in it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from tinylm.compose.load import load
from tinylm.data.tokens import Tokenizer
from tinylm.evaluate.harness.squad import provide
from tinylm.evaluate.harness.tasks import failures, require, shipped
from tinylm.model.lm import LanguageModel
from tinylm.runs.allocator import keep_memory

RUN = re.compile(r"(^|[ ,])run=([^,'\"\s]+)")  # a key may look like a number, and would be read as one


def command_line(words: Sequence[str]) -> None:
    """Hand ``words`` to lm-eval, which prints what it finds. It knows the model ``tinylm`` and the shipped tasks.

    Raises:
        UserError: lm-eval is not installed, or a run, a task or its documents cannot be had.
        SystemExit: lm-eval's command line refuses a word, or has printed its help.
    """
    require()
    provide()
    keep_memory()
    import lm_eval.models  # noqa: F401  # names its own models, which it does only as long as it knows none
    from lm_eval._cli import HarnessCLI
    from lm_eval.api.registry import register_model
    from lm_eval.utils import setup_logging

    from tinylm.evaluate.harness.model import HarnessModel

    HarnessModel.load = staticmethod(_load)
    register_model("tinylm")(HarnessModel)
    before = sys.argv
    sys.argv = ["lm-eval", *(RUN.sub(r"\1run='\2'", word) for word in words)]
    try:
        setup_logging()
        parser = HarnessCLI()
        options = parser.parse_args()
        if "include_path" in options:  # of `run`, `ls` and `validate`
            options.include_path = [path for path in (str(shipped()), options.include_path) if path]
        with failures():
            parser.execute(options)
    finally:
        sys.argv = before


def _load(key: str, root: str) -> tuple[LanguageModel, Tokenizer]:
    return load(key, root)
