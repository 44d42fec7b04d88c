"""``tinylm lm-eval``: lm-eval's own command line, with our models and tasks."""

from __future__ import annotations

from tinylm.errors import UserError

LM_EVAL = """tinylm lm-eval: lm-eval's own command line; it knows the model `tinylm` and the tasks of conf/tasks.

usage: tinylm lm-eval run|ls|validate [lm-eval's flags]

examples:
  tinylm lm-eval run --model tinylm --model_args run=3f2a,root=runs --tasks hellaswag,piqa
  tinylm lm-eval run --model tinylm --model_args run=3f2a --tasks local_blimp --metadata data=DIR
  tinylm lm-eval run --model tinylm --model_args run=3f2a --tasks glam_one_shot --output_path scores.json
  tinylm lm-eval ls tasks

--model_args: run=KEY (or its beginning), root=DIR where runs lie (runs), max_length=N tokens, precision=fp32|bf16,
domain=NAME that all is read as, by models that route by it (the first they know).
Local tasks read a folder: --metadata data=DIR, or the environment variable TINYLM_EVAL_DATA.
`tinylm lm-eval run --help` shows lm-eval's flags."""


def lm_eval_command(words: list[str]) -> int:
    """``tinylm lm-eval ...``."""
    if not words or words[0] in ("-h", "--help"):
        print(LM_EVAL)
        raise SystemExit(0)
    from tinylm.compose.harness import command_line

    try:
        command_line(words)
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise UserError("lm-eval refuses these words, as it says above; see `tinylm lm-eval --help`") from ended
    return 0
