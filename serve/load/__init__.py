"""Asks any server of OpenAI's API as many users would, and measures how it answers."""
