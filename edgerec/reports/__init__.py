"""HTML pages of results. Each page is one file that opens without a network. A page depends on its document alone."""
