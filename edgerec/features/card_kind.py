"""The column that has the kind of a card in a mixed feed."""

CARD_KIND = "card_kind"
"""The source of the `one_hot` item feature that has the kind of a card: product, video, live, ad, ..."""
