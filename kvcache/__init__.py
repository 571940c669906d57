"""Takes the artifact's cache groups and a byte budget, gives pages and block tables.
Never touches a request's text.
"""
