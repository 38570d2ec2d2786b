"""What makes and checks the book: notebooks, site, command driver. Readers of the book need none of it."""
