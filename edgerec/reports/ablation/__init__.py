"""The table and the HTML page of `edgerec ablate`."""
