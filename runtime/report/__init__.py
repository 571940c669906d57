"""Says what is inside an artifact to a reader: as text, as JSON, and as a page of HTML."""
