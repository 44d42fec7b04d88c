"""A side: the Hugging Face Trainer on a Llama of the same shape."""

from __future__ import annotations

import argparse
import logging
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.turns import Gate
from benchmarks.workload import SHAPE, SIZE, STEPS, words
from tinylm.model.shape import Shape


def missing() -> str | None:
    """What is not installed, in a line; None where the peer can be measured."""
    absent = [name for name in ("transformers", "accelerate") if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: pip install 'tinylm[hf]'" if absent else None


def llama(shape: Shape = SHAPE) -> Any:
    """``LlamaForCausalLM`` with our shape: the same matrices, the same number of parameters."""
    import transformers

    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=shape.vocab,
            hidden_size=shape.width,
            intermediate_size=shape.hidden,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            max_position_embeddings=shape.context,
            tie_word_embeddings=shape.tied,
        )
    )


class Sequences(Dataset[Tensor]):
    """As many sequences as the Trainer may ask for, of a few that differ."""

    def __init__(self) -> None:
        self.ids_NT = words(SHAPE, 32 * SIZE)[:, :-1].contiguous()

    def __len__(self) -> int:
        return SIZE * STEPS

    def __getitem__(self, index: int) -> Tensor:
        return self.ids_NT[index % len(self.ids_NT)]


def main() -> None:
    """``python -m benchmarks.peer [--bf16] --threads 2 --folder DIR``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", required=True)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    gate = Gate()

    def collate(rows: list[Tensor]) -> dict[str, Tensor]:
        gate()
        ids_BT = torch.stack(rows)
        return {"input_ids": ids_BT, "labels": ids_BT}

    from transformers import Trainer, TrainingArguments

    torch.set_num_threads(asked.threads)
    arguments = TrainingArguments(
        output_dir=asked.folder,
        per_device_train_batch_size=SIZE,
        max_steps=STEPS,
        bf16=asked.bf16,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    Trainer(model=llama(), args=arguments, train_dataset=Sequences(), data_collator=collate).train()


if __name__ == "__main__":
    main()
