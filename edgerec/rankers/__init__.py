"""The models: each folder has a Keras layer, its weights and its device graph."""
