"""The records that HTTP requests are read into and answers are written from."""
