"""The models. Each has one file with its Keras layer, and one with its weights and its device graph."""
