"""Files -> Document -> Chunk.

``walk`` finds the files, ``read`` turns one of them into Documents, ``chunk`` cuts those, ``sync`` keeps an index equal
to a folder. How a file is read: ``formats`` says which parser reads what, ``containers`` looks into a zip or OLE file
first, ``decode`` turns bytes into text, ``structure`` writes headings and tables, ``process`` and ``worker`` are two
ends of a pipe to a parser that may hang or crash.
"""
