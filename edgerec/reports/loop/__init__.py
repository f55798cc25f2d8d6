"""The report of `edgerec loop`: the HTML page, the Markdown, and the blocks of both."""
