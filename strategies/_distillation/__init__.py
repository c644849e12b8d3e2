"""What teachers say, and how far a student is from it."""
