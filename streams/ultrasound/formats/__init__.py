"""File formats that Pillow does not read, and masks that are not yet class ids."""
