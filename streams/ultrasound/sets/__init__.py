"""Public ultrasound data sets in the layouts in which they are published; one file a set."""
