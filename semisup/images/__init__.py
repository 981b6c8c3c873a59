"""From files to uint8 pixels: scan a folder, decode each picture once, keep the result.

    scan.py     which files are pictures, in an order that depends on nothing but their names
    recipe.py   how a picture becomes S x S pixels, and the fingerprint of that
    decode.py   the bytes of one file -> (3, S, S), or the reason why not
    framing.py  what the bytes say before that: cut short, checksums wrong, work without an end
    silence.py  what a library would write to the terminal meanwhile
    pool.py     many files, in order, by several processes
    alone.py    one after the other, to find the one that kills its process; bounds.py: the time and memory it has
    cache.py    the same, remembered: a second start opens no picture

Nothing here imports torch: it runs in decoding processes too, which must start fast.
"""
