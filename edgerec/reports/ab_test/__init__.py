"""The report of `edgerec abtest`: the HTML page, the Markdown, and the blocks of both."""
