"""What `edgerec stats` shows of its document: blocks for the terminal and the page, and the page itself."""
