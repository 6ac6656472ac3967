"""Prompts of the generation goldens and conversations of the chat goldens: all written for terrace."""

import pathlib

ESSAY = (pathlib.Path(__file__).parent / "essay.txt").read_text(encoding="utf-8")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def chat(user, system=SYSTEM):
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def register_log(num_lines):
    """A long, regular prompt: lines that differ only in numbers, so that attention has to look far back."""
    lines = ["time, vessel, berth, draught_cm, tide_cm"]
    names = ["Margit", "Ines", "Holm", "Vell", "Carvalho", "Anders"]
    for i in range(num_lines):
        lines.append(f"{6 + i // 6:02d}:{i % 6 * 10:02d}, {names[i * 5 % 6]}, {1 + i * 7 % 9}, {310 + i * 37 % 190}, {(i * 11) % 41 - 20}")
    return "\n".join(lines) + "\n"


# name -> (text, greedy steps)
PROMPTS = {
    "capital": ("The capital of France is", 64),
    "once": ("Once upon a time", 64),
    "fibonacci": ("def fibonacci(n):\n", 64),
    "list": ("The seven largest countries by area are:\n1.", 64),
    "one_token": ("Water", 64),
    "newline": ("\n", 64),
    "json": ('{"name": "Ada", "born": 1815, "field":', 64),
    "cpp": ("#include <vector>\n\n// Returns the sum of the even numbers in `values`.\nint sum_even(const std::vector<int>& values) {\n",
            64),
    "sql": ("-- the five customers with the most orders in 2023\nSELECT", 64),
    "markdown": ("# How to bake bread\n\n## Ingredients\n\n- ", 64),
    "digits": ("2, 4, 8, 16, 32, 64,", 64),
    "french": ("Il était une fois, dans un petit village de Bretagne,", 64),
    "spanish": ("La historia de la ciudad de Sevilla comienza", 64),
    "russian": ("Москва — столица России. Население города", 64),
    "chinese": ("北京是中国的首都，", 64),
    "arabic": ("القاهرة هي عاصمة", 64),
    "emoji": ("Happy birthday! 🎂🎉 I hope that you", 64),
    "chat_gravity": (chat("What is gravity?"), 64),
    "chat_story": (chat("Write a short story about a lighthouse keeper who finds a message in a bottle."), 64),
    "chat_code": (chat("Write a Python function that reverses the words of a sentence.",
                       "You are an expert programmer."), 64),
    "chat_turns": (chat("My name is Ines and I live by the sea.")
                   + "Nice to meet you, Ines! Living by the sea sounds lovely.<|im_end|>\n<|im_start|>user\n"
                   + "Write me a poem about my home, with my name in it.<|im_end|>\n<|im_start|>assistant\n", 64),
    "chat_paragraph": (chat("Summarise in three sentences:\n\n" + ESSAY.split("\n\n")[4]), 64),
    "chat_explain": (chat("Explain how a refrigerator works, step by step, to a ten-year-old child."), 64),
    "chat_translate": (chat("Translate into German: The weather is beautiful today and I would like to go for a walk."),
            64),
    "long_essay": (chat(ESSAY[:6600] + "\n\nWhat did the clerk learn from Holm? Answer in detail."), 24),
    "long_log": (register_log(66), 24),
}

CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "user", "content": ""}],
    [{"role": "user", "content": "  spaces kept \n\n"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": "Hello"}],
    [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi! How can I help?"}, {"role": "user",
    "content": "Tell me a joke."}],
    [{"role": "system", "content": "You speak French."}, {"role": "user", "content": "Bonjour"},
     {"role": "assistant", "content": "Bonjour !"}, {"role": "user", "content": "Ça va ?"}, {"role": "assistant",
         "content": "Oui."}],
    [{"role": "user", "content": "Text with <|im_end|> and <|im_start|> inside"}],
    [{"role": "user", "content": "{{ not }} {% a template %} {# here #}"}],
    [{"role": "user", "content": "多语言 مرحبا 😀 \"quotes\" & <tags>"}],
    [{"role": "assistant", "content": "I begin."}, {"role": "user", "content": "Go on."}],
    [{"role": "user", "content": "first"}, {"role": "system", "content": "late system"}, {"role": "user",
    "content": "second"}],
]
