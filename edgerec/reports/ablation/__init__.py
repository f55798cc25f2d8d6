"""What `edgerec ablate` shows of its document: the table and the page."""
