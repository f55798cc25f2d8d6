"""Names for the items of a simulated world, whose logs have only numbers. They are for the page alone."""

from __future__ import annotations

CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Shoes", ("Trail runner", "Court sneaker", "Canvas slip-on", "Desert boot")),
    ("Bags", ("City tote", "Weekend bag", "Crossbody bag", "Market bag")),
    ("Lamps", ("Desk lamp", "Reading lamp", "Paper lamp", "Night light")),
    ("Watches", ("Field watch", "Diver watch", "Dress watch", "Slim watch")),
    ("Mugs", ("Stone mug", "Travel mug", "Espresso cup", "Enamel mug")),
    ("Headphones", ("Studio headphones", "Travel headphones", "Kids headphones", "Open headphones")),
    ("Plants", ("Rubber plant", "Snake plant", "Olive tree", "Monstera")),
    ("Shirts", ("Oxford shirt", "Linen shirt", "Striped tee", "Heavy tee")),
    ("Cameras", ("Instant camera", "Pocket camera", "Film camera", "Action camera")),
    ("Books", ("Travel guide", "Cook book", "Short stories", "Atlas")),
    ("Chairs", ("Dining chair", "Lounge chair", "Folding chair", "Stool")),
    ("Glasses", ("Round glasses", "Sunglasses", "Reading glasses", "Aviators")),
    ("Balls", ("Beach ball", "Basketball", "Volleyball", "Football")),
    ("Bicycles", ("City bike", "Gravel bike", "Kids bike", "Folding bike")),
    ("Phones", ("Small phone", "Large phone", "Rugged phone", "Classic phone")),
    ("Kites", ("Delta kite", "Box kite", "Stunt kite", "Pocket kite")),
)
"""The name of each category and its products. The page has one picture for each category, in this order."""
_BEGINNINGS = ("Al", "Bero", "Cala", "Doma", "Evi", "Fjor", "Gala", "Hem", "Isla", "Juno", "Kora", "Luma")
_ENDINGS = ("na", "ro", "vik", "ta", "lo", "mei", "sen")


def category_name(number: int) -> str:
    """Return the name of a category."""
    name = CATEGORIES[number % len(CATEGORIES)][0]
    return name if number < len(CATEGORIES) else f"{name} {number // len(CATEGORIES) + 1}"


def product_name(category: int, item_id: int) -> str:
    """Return the name of an item."""
    products = CATEGORIES[category % len(CATEGORIES)][1]
    return products[item_id % len(products)]


def brand_name(number: int) -> str:
    """Return the name of a brand. Different brands have different names."""
    beginning, rest = number % len(_BEGINNINGS), number // len(_BEGINNINGS)
    name = _BEGINNINGS[beginning] + _ENDINGS[(beginning + rest) % len(_ENDINGS)]
    return name if rest < len(_ENDINGS) else f"{name} {rest // len(_ENDINGS) + 1}"
