"""Takes an artifact, says what is inside: as text, as JSON, as a page. Never runs anything."""
