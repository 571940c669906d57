"""Takes the artifact's cache groups and a byte budget, gives pages and block tables; never touches a request's text."""
