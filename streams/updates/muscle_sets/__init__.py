"""The four tasks on which published updates were compared: their facts and their prompts."""
