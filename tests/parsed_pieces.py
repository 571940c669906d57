"""What parsers of answers give, put together for comparison."""

from tapeout.serve.parsers.base import CallBegins


def joined(pieces):
    """The pieces with those of one kind that follow each other as one."""
    told = []
    for piece in pieces:
        is_more = told and type(piece) is type(told[-1]) and not isinstance(piece, CallBegins)
        if is_more:
            told[-1] = type(piece)(told[-1].text + piece.text)
        else:
            told.append(piece)
    return told
