"""What `edgerec bench` measures of a bundle. There is one stage in each file."""
