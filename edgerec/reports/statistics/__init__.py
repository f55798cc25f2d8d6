"""The output of `edgerec stats`: blocks of statistics for the terminal and for the HTML page, and the page itself."""
