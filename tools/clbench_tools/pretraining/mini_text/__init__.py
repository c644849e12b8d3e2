"""Tokenizer, corpus and teacher for the pre-training of mini-t5 and mini-llama; not imported at run time."""
