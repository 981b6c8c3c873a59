"""Convert image files to uint8 pixels: scan folders, decode each image once, cache the pixels.

    scan.py             find image files, in an order that depends only on their names
    formats.py          the image formats that are read: suffixes and first bytes
    archive.py          find images in tar and zip archives (tar_archive.py, zip_archive.py), without unpacking them
    archive_listing.py  the members of archives and their folders
    archive_members.py  where the bytes of an image are inside an archive
    read_file.py        read the bytes of an image: a file, or an image inside an archive
    parquet_cells.py    read images from rows of Parquet
    decode_settings.py  settings of how an image becomes S x S pixels, and their fingerprint
    decode.py           decode the bytes of one file to (3, S, S), or give the reason why that is impossible
    integrity.py        check the bytes before decoding: truncation, checksums, unlimited work
    quiet_decoders.py   keep decoders from writing to the terminal
    pool.py             decode many files, in order, in several processes
    isolated.py         decode one file at a time, to find a file that kills its process
    resource_limits.py  time and memory limits of a decoding process
    cache.py            cache decoded pixels: a second start decodes nothing
    packs.py            file format of the cache's packs (files of decoded pixels)
    checksums.py        checksums of the pixels in a pack
    on_disk.py          images that stay on disk and are read when needed
    duplicates.py       find images that occur more than once

Decoding processes do not import torch, so that they start quickly.
"""
