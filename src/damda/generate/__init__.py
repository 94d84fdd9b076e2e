"""Prompt to text: generators, each of which fits ``damda.types.Generator``.

``extract`` picks sentences without a language model, ``llama`` runs a GGUF file in this process, ``remote`` asks an
OpenAI-compatible server. Knows: nothing by itself; import the module that you want.
"""
