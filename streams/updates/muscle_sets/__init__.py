"""The four tasks under which published updates were compared: what is known of them, and how their rows are asked."""
