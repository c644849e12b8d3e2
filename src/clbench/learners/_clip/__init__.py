"""The CLIP family: images classified by the text of their class names."""
