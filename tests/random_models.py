"""Small random models that the tests build and save, as a hub model would be saved."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from expression_leakage.models.organism import CHAT_TEMPLATE, SPECIAL

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
CONFIGS = {
    "llama": LlamaConfig,
    "qwen2": Qwen2Config,
    "qwen3": lambda **shape: Qwen3Config(head_dim=8, **shape),
    "gemma": lambda **shape: GemmaConfig(head_dim=8, **shape),
    "gemma2": lambda **shape: Gemma2Config(head_dim=8, sliding_window=12, **shape),
    "gpt_neox": lambda num_key_value_heads, **shape: GPTNeoXConfig(**shape),
}


def byte_tokenizer():
    """A byte-level BPE tokenizer without merges, as open a vocabulary as any hub model's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=SPECIAL[4:],
        chat_template=CHAT_TEMPLATE,
    )


def save_random_model(architecture, folder, tokenizer=None):
    """Save a random model of an architecture as a hub model is saved; returns its size."""
    torch.manual_seed(0)
    tokenizer = tokenizer or byte_tokenizer()
    config = CONFIGS[architecture](vocab_size=len(tokenizer), **SHAPE)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()
