"""The Keras model of a re-ranker, its input pipeline, training and evaluation."""
