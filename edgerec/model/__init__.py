"""Keras layers and models, the input pipeline, training and evaluation."""
