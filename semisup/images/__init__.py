"""From image files to uint8 pixels: scan folders, decode each image once, cache the pixels.

    scan.py             find image files, in an order that depends only on their names
    decode_settings.py  how an image becomes S x S pixels, with a fingerprint of it
    decode.py           the bytes of one file -> (3, S, S), or the reason why not
    integrity.py        checks of the bytes before decoding: truncation, checksums, unbounded work
    quiet_decoders.py   keep decoders from writing to the terminal
    pool.py             decode many files, in order, in several processes
    isolated.py         decode one file at a time, to find one that kills its process
    resource_limits.py  time and memory limits of a decoding process
    cache.py            cached pixels: a second start decodes nothing
    packs.py            the cache's file format; checksums.py: its checksums
    on_disk.py          images that stay on disk and are read when needed
    duplicates.py       images that occur more than once

Decoding processes import no torch, so that they start quickly: only on_disk.py and duplicates.py need it.
"""
