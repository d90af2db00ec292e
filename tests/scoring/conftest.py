"""Tiny transformers models with random weights, saved as a user would save them."""

import pytest

PAD, UNKNOWN = "[PAD]", "[UNK]"
VOCABULARY = [PAD, UNKNOWN, "[CLS]", "[SEP]", "sad", "merry", "window", "open", "is", "."]


@pytest.fixture
def save_model(tmp_path):
    """Save a model of a transformers class with a word-level tokenizer; return its folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, PreTrainedTokenizerFast

    def save(model_class, folder="model", safe=True, **config):
        words = Tokenizer(
            models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, unk_token=UNKNOWN)
        )
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=words, pad_token=PAD, unk_token=UNKNOWN
        )
        torch.manual_seed(0)
        size = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 32}
        depth = {"num_hidden_layers": 1, "num_attention_heads": 2}
        model = model_class(BertConfig(vocab_size=len(VOCABULARY), **size, **depth, **config))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)  # far from uniform outputs
        path = tmp_path / folder
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        if not safe:
            (path / "model.safetensors").unlink()
            torch.save(model.state_dict(), path / "pytorch_model.bin")
        return str(path)

    return save
