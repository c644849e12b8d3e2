"""What strategies that forget training samples share: their data, importances of parameters, when to stop."""
