"""The report of `edgerec abtest --mix`: the HTML page, the Markdown, and the blocks of both."""
