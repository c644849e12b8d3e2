"""Public ultrasound data sets in their published layouts; one file a set."""
