"""A language model that writes CIF: GPT-2's network through `transformers`, keys and values kept, random weights.

Sizes: GPT-2 small, and the two that CrystaLLM was published in. Its sentences have 332 tokens on average; the size of a
cell is not told, so that 10 and 20 atoms cost the same here. A step is timed in the middle of the sentence, where it
costs what it costs on average, since attention grows evenly with the position.
"""

import torch
from measure import options, report, seconds_of
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

TOKENS = 332
VOCABULARY = 371
TOP = 10
SHARED = {"vocab_size": VOCABULARY, "n_positions": 1024, "bos_token_id": 0, "eos_token_id": 0}
SIZES = {
    # From the smallest to the largest, so that the most memory held so far is that of the size at hand.
    "CrystaLLM small": {"n_layer": 8, "n_head": 8, "n_embd": 512},
    "GPT-2 small": {"n_layer": 12, "n_head": 12, "n_embd": 768},
    "CrystaLLM large": {"n_layer": 16, "n_head": 16, "n_embd": 1024},
}


def drawn(logits: torch.Tensor) -> torch.Tensor:
    """Return a token for each sentence, of the likeliest ten."""
    values, places = logits.topk(TOP)
    return places.gather(1, torch.multinomial(values.softmax(-1), 1))


def main() -> None:
    """Time steps of each size, and multiply."""
    asked = options(batch=64)
    for name, size in SIZES.items():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**SHARED, **size)).eval()
        with torch.inference_mode():
            seconds = step_seconds(model, asked.batch, asked.steps)
        row = {"step": seconds, "per_1000": 1000 * TOKENS * seconds / asked.batch}
        parameters = sum(weight.numel() for weight in model.parameters())
        facts = {"batch": asked.batch, "steps": TOKENS, "parameters": parameters}
        report(f"{name}, CIF", [{"atoms": atoms, **row} for atoms in asked.atoms], **facts)
        del model


def step_seconds(model: GPT2LMHeadModel, batch: int, times: int) -> float:
    """Return the seconds of one token of each sentence, half of which is written."""
    cache = DynamicCache(config=model.config)
    model(torch.randint(VOCABULARY, (1, TOKENS // 2)), cache=cache)
    cache.batch_repeat_interleave(batch)
    state = {"token": torch.randint(VOCABULARY, (batch, 1))}

    def step() -> None:
        state["token"] = drawn(model(state["token"], cache=cache).logits[:, -1])

    return seconds_of(step, times)


if __name__ == "__main__":
    main()
