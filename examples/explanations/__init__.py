"""The parts of the study of visual explanations: images, sentences, features, the explainer, its training, metrics."""
