"""Finds thoughts and tool calls in the text of an answer as it comes; a file for each format."""
