"""Convert image files to uint8 pixels: scan folders, decode each image once, cache the pixels.

    scan.py             find image files, in an order that depends only on their names
    formats.py          detect the image formats that are read, by suffix and first bytes
    archive.py          list the images in tar and zip archives (tar_archive.py, zip_archive.py), without unpacking them
    archive_listing.py  the list of the files in an archive
    archive_members.py  the position of an image in an archive
    read_file.py        read the bytes of an image: a file, or an image inside an archive
    parquet_cells.py    read images from rows of Parquet files
    decode_settings.py  settings by which an image is decoded to S x S pixels, and their fingerprint
    decode.py           decode the bytes of one file to (3, S, S) pixels
    integrity.py        check the bytes before decoding: truncation, checksums, too much work for the decoder
    quiet_decoders.py   suppress warnings of decoders on the terminal
    pool.py             decode many files, in order, in several processes
    isolated.py         decode one file at a time, to find a file that kills its process
    resource_limits.py  time and memory limits of a decoding process
    cache.py            cache decoded pixels, so that a second start decodes nothing
    packs.py            format of the cache files with decoded pixels (packs)
    checksums.py        checksums of the pixels in a pack
    on_disk.py          images that stay on disk and are read when needed
    duplicates.py       find images that occur more than once

Decoding processes do not import torch, so that they start quickly.
"""
