"""Static pictures (SVG) of results, for pages such as README."""
