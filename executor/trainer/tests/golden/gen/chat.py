"""Conversations as transformers renders, tokenizes and masks them, in templates of the styles that models use.

Versions: transformers 5.23.0, tokenizers of its pin. The templates are written for this test in the styles named; they are not copies of any
model's. Tests compare byte for byte. `assistant_masks` come from transformers for the template with generation blocks; for the others
the expected mask is the one of the same template with generation blocks put in (`*-marked`), so that both ways must agree.

Run: .venv/bin/python executor/trainer/tests/golden/gen/chat.py
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).parent.parent / "chat"

CHATML = """{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
{{- '<|im_start|>system\\nYou answer briefly.<|im_end|>\\n' }}
    {%- endif %}
    {%- if message['role'] == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}GEN{{- message['content'] + '<|im_end|>' }}END{{- '\\n' }}
    {%- else %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""

HEADERS = """{{ bos_token }}
{% for message in messages %}
{% set header = '[' + message['role'] | upper + ']\\n\\n' %}
{% if message['role'] == 'assistant' %}
{{ header }}GEN{{ message['content'] | trim + eos_token }}END
{% else %}
{{ header + message['content'] | trim + eos_token }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '[ASSISTANT]\\n\\n' }}
{% endif %}"""

INSTRUCT = """{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content.strip() %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in rest %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('turns must alternate') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {%- if loop.first and system is defined %}
            {{- '[INST] ' + system + '\\n\\n' + message.content + ' [/INST]' }}
        {%- else %}
            {{- '[INST] ' + message.content + ' [/INST]' }}
        {%- endif %}
    {%- else %}
        GEN{{- ' ' + message.content + eos_token }}END
    {%- endif %}
{%- endfor %}"""

TOOLS = """{%- if tools %}
    {{- '<|im_start|>system\\nTools:' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\\n' + (tools[0] | tojson(indent=2)) + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        GEN
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '<call>' + call.function.name + ' ' }}
            {%- if call.function.arguments is string %}{{- call.function.arguments }}{%- else %}{{- call.function.arguments | tojson }}{%- endif %}
            {{- '</call>' }}
        {%- endfor %}
        {{- '<|im_end|>' }}
        END
        {{- '\\n' }}
    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

STYLES = {"chatml": CHATML, "headers": HEADERS, "instruct": INSTRUCT, "tools": TOOLS}

PLAIN = [
    [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "Four."}],
    [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Naïve café, 東京 \U0001F600?"},
     {"role": "assistant", "content": "Ja — schön!\nZweite Zeile."}, {"role": "user", "content": "<b>&amp;</b>"},
     {"role": "assistant", "content": "tabs\tand \"quotes\""}],
]
WITH_TOOLS = [
    {"messages": [
        {"role": "user", "content": "Weather in Köln?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {
            "name": "weather", "arguments": {"city": "Köln", "days": [1, 2.5, None], "deep": {"a": True, "b": {}}}}}]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
        {"role": "assistant", "content": "It rains."}],
     "tools": [{"type": "function", "function": {"name": "weather", "description": "a<b & 'c'", "parameters": {
         "type": "object", "properties": {"city": {"type": "string"}}, "required": []}}}]},
]
SPECIALS = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def main():
    OUT.mkdir(exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIALS, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    text = [m["content"] for c in PLAIN for m in c] * 3 + ["the assistant answers the user and the system"] * 9
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_special_tokens([AddedToken(s, special=True) for s in SPECIALS])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.save(str(OUT / "tokenizer.json"))
    (OUT / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<pad>"}))
    cases = []
    for style, source in STYLES.items():
        conversations = WITH_TOOLS if style == "tools" else [{"messages": m, "tools": None} for m in PLAIN]
        marked = source.replace("GEN", "{%- generation -%}" if style == "tools" else "{% generation %}").replace(
            "END", "{%- endgeneration -%}" if style == "tools" else "{% endgeneration %}")
        for template in (marked, source.replace("GEN", "").replace("END", "")):
            for conversation in conversations:
                fast.chat_template = template
                kwargs = dict(tools=conversation["tools"], tokenize=False)
                case = {"style": style, "marked": template is marked, "template": template, **conversation,
                        "text": fast.apply_chat_template(conversation["messages"], **kwargs),
                        "prompt_text": fast.apply_chat_template(conversation["messages"][:-1], add_generation_prompt=True, **kwargs)}
                fast.chat_template = marked
                encoded = fast.apply_chat_template(conversation["messages"], tools=conversation["tools"], tokenize=True,
                                                   return_dict=True, return_assistant_tokens_mask=True)
                fast.chat_template = template
                ids = fast(case["text"], add_special_tokens=False)["input_ids"]
                case["ids"] = ids
                case["mask"] = encoded["assistant_masks"] if ids == encoded["input_ids"] else None
                cases.append(case)
    (OUT / "cases.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1))
    print(len(cases), [c["style"] + str(c["marked"]) for c in cases if c["mask"] is None])


if __name__ == "__main__":
    main()
