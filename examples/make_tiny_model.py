"""Write a small Llama-architecture model with random weights, a tokenizer and a chat template.

Nothing is downloaded: the tokenizer is trained on the text below. The model talks nonsense,
which is all that a benchmark of the server needs. About 13 million parameters, 27 MB: small
enough to load at once, large enough that a token takes the CPU milliseconds, so that tokens
are not sent in bursts.

Usage: python make_tiny_model.py FOLDER   (needs transformers and torch, as vLLM does)
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CORPUS = [
    "The server answers each request with one token after another.",
    "A batch of requests shares the cost of reading the weights from memory.",
    "Throughput grows with the batch until the machine is busy; latency grows from then on.",
    "How long does the first token take, and how long does each of the others?",
    "Measure, change one thing, measure again, and keep what is better.",
] * 20

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<eos>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<bos>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=4096,
    )


def silence_unprintable_tokens(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Give special tokens and lone non-ASCII bytes a logit of zero, which never wins.

    A server streams no text for them, so that the client would time the first token late.
    """
    with torch.no_grad():
        for text, token_id in tokenizer.get_vocab().items():
            if token_id in tokenizer.all_special_ids or not text.replace("\u0120", " ").isascii():
                model.lm_head.weight[token_id] = 0.0


def main(folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        torch_dtype=torch.bfloat16,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    silence_unprintable_tokens(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
