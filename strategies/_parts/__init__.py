"""Slots of training and what fills them: optimizer, selector, memory, penalty and edits."""
