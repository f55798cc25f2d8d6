"""The cloud half: recall, pages, embedding look-ups by version, logs in."""
