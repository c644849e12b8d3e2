"""What made the shipped data and models; not part of the wheel."""
