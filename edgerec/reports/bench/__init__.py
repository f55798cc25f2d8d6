"""The HTML page and the Markdown of `edgerec bench`, from one document or from several devices."""
