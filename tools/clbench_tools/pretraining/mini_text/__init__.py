"""What mini-t5 and mini-llama share when they are made: tokenizer, corpus, teacher. Nothing imports it at run time."""
