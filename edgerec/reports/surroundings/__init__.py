"""The tables of click rates given the cards around a card."""
