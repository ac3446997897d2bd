"""The parts of the study of visual explanations."""
