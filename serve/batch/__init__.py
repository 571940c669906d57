"""Answers files of requests in OpenAI's batch format, by the routes that answer them over HTTP."""
