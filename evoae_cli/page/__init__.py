"""A study as one page that needs nothing else: pictures, figures, tables, and how to go on."""
