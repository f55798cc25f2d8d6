"""HTML pages of results. A page is one file that needs no network. Equal documents give equal pages."""
