"""Peers: other engines that run the models of a bundle. There is one in each file."""
