"""Golden numbers for lib/llama, made once with the real Hugging Face libraries.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch==2.6.0 transformers==5.23.0 numpy
    /tmp/golden/bin/python test/golden/make_llama_golden.py make
        writes test/golden/llama-lm and test/golden/llama-scalar: a small random checkpoint each, and golden.json
        with token ids, rendered chats and logits as transformers computes them (float32, CPU)

    /tmp/golden/bin/python test/golden/make_llama_golden.py check FOLDER...
        loads checkpoint folders that covote wrote (for example with COVOTE_GOLDEN_OUT=/tmp/written in the
        environment of the golden test) and compares them with the golden.json they were copied from:
        FOLDER must be named llama-lm or llama-scalar

Both models are grouped-query (4 heads, 2 key/value heads) with a head size that is not hidden / heads.
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

HERE = Path(__file__).parent
SPECIALS = ["<pad>", "<unk>", "<s>", "</s>", "<user>", "<assistant>"]
WORDS = "query to friend from river be question thanks . response dear aunt snow hey we saw boat".split()
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}<user> {{ message['content'] }} "
    "{% else %}<assistant> {{ message['content'] }} {{ eos_token }} {% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXTS = ["query to friend", "dear  aunt\nsnow .", "<user> hey <assistant>", "we saw zeppelin", ""]
CHATS = [
    [{"role": "user", "content": "query to friend from river be thanks ."}],
    [{"role": "user", "content": "dear aunt"}, {"role": "assistant", "content": "snow"}],
]
SEQUENCES = [[4, 6, 7, 8, 9, 10], [2], [63, 0, 17, 40, 41, 42, 43, 5, 3, 2, 11, 60, 33, 33, 33, 12, 21, 9, 4]]


def tokenizer() -> PreTrainedTokenizerFast:
    tokens = SPECIALS + WORDS
    tokens += [f"w{i}" for i in range(len(tokens), 64)]
    raw = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<user>", "<assistant>"],
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def config(**extra) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=56,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        tie_word_embeddings=True,
        **extra,
    )


def randomise_norms(model) -> None:
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.2)


def logits_of(model) -> list:
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].double().tolist() for ids in SEQUENCES]


def rounded(value):
    return [rounded(v) for v in value] if isinstance(value, list) else round(value, 6)


def golden(model, tok) -> dict:
    def chat_ids(chat, prompt):
        return tok.encode(tok.apply_chat_template(chat, add_generation_prompt=prompt, tokenize=False), add_special_tokens=False)

    return {
        "texts": [{"text": t, "ids": tok.encode(t, add_special_tokens=False)} for t in TEXTS],
        "chats": [
            {
                "messages": chat,
                "addGenerationPrompt": prompt,
                "text": tok.apply_chat_template(chat, add_generation_prompt=prompt, tokenize=False),
                "ids": chat_ids(chat, prompt),
            }
            for chat in CHATS
            for prompt in (True, False)
        ],
        "sequences": [{"ids": ids, "logits": rounded(z)} for ids, z in zip(SEQUENCES, logits_of(model))],
    }


def make() -> None:
    torch.manual_seed(1)
    tok = tokenizer()
    scalar = dict(num_labels=1)
    for name, model in (
        ("llama-lm", LlamaForCausalLM(config())),
        ("llama-scalar", LlamaForSequenceClassification(config(**scalar))),
    ):
        model = model.float().eval()
        randomise_norms(model)
        folder = HERE / name
        model.save_pretrained(folder)
        tok.save_pretrained(folder)
        (folder / "golden.json").write_text(json.dumps(golden(model, tok)) + "\n")
        print("wrote", folder)


def check(folders: list[str]) -> None:
    for folder in map(Path, folders):
        want = json.loads((HERE / folder.name / "golden.json").read_text())
        auto = AutoModelForCausalLM if folder.name == "llama-lm" else AutoModelForSequenceClassification
        model, report = auto.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not any(report[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
        tok = AutoTokenizer.from_pretrained(folder)
        have = golden(model.eval(), tok)
        assert have["texts"] == want["texts"] and have["chats"] == want["chats"], "tokenizer differs"
        worst = max(
            (torch.tensor(a["logits"]) - torch.tensor(b["logits"])).abs().max().item()
            for a, b in zip(have["sequences"], want["sequences"])
        )
        print(f"{folder}: largest difference of a logit {worst:.2e}")
        # bfloat16 keeps 8 bits of mantissa.
        assert worst < (0.2 if "bfloat16" in str(folder) else 1e-5), "logits differ"


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make()
    elif sys.argv[1:2] == ["check"] and sys.argv[2:]:
        check(sys.argv[2:])
    else:
        sys.exit(__doc__)
