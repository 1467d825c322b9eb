"""What libtiff reads: for every FILE.tif of a folder, its samples as FILE.raw, 16 bits little-endian, the channels of a pixel side by side."""

import array
import ctypes
import ctypes.util
import pathlib
import sys

WIDTH, HEIGHT, BITS, CHANNELS, ROWS, PLANAR, TILE_WIDTH, TILE_HEIGHT = 256, 257, 258, 277, 278, 284, 322, 323

tiff = ctypes.CDLL(ctypes.util.find_library("tiff"))
tiff.TIFFOpen.restype = ctypes.c_void_p
for name in ("TIFFTileSize64", "TIFFStripSize64", "TIFFReadEncodedTile", "TIFFReadEncodedStrip"):
    getattr(tiff, name).restype = ctypes.c_int64


def field(image, tag, kind, default):
    value = kind(default)
    tiff.TIFFGetFieldDefaulted(image, ctypes.c_uint32(tag), ctypes.byref(value))
    return value.value


def unpack(row, bits, n):
    """Samples of a row of a chunk; libtiff has already put 16 bits into this machine's order."""
    if bits == 16:
        return array.array("H", row)[:n]
    value, n_bits = int.from_bytes(row, "big"), 8 * len(row)
    mask = (1 << bits) - 1
    return [value >> (n_bits - bits * (index + 1)) & mask for index in range(n)]


def samples(path):
    image = ctypes.c_void_p(tiff.TIFFOpen(str(path).encode(), b"rc"))
    assert image, path
    width, height = field(image, WIDTH, ctypes.c_uint32, 0), field(image, HEIGHT, ctypes.c_uint32, 0)
    bits, channels = field(image, BITS, ctypes.c_uint16, 1), field(image, CHANNELS, ctypes.c_uint16, 1)
    planes = channels if field(image, PLANAR, ctypes.c_uint16, 1) == 2 else 1
    tiled = tiff.TIFFIsTiled(image)
    chunk_width = field(image, TILE_WIDTH, ctypes.c_uint32, 0) if tiled else width
    chunk_height = field(image, TILE_HEIGHT, ctypes.c_uint32, 0) if tiled else min(field(image, ROWS, ctypes.c_uint32, 0), height)
    read = tiff.TIFFReadEncodedTile if tiled else tiff.TIFFReadEncodedStrip
    buffer = ctypes.create_string_buffer((tiff.TIFFTileSize64 if tiled else tiff.TIFFStripSize64)(image))
    apart = channels // planes
    row_bytes = (chunk_width * apart * bits + 7) // 8
    into, chunk = array.array("H", bytes(2 * width * height * channels)), 0
    for plane in range(planes):
        for top in range(0, height, chunk_height):
            for left in range(0, width, chunk_width):
                n_read = read(image, ctypes.c_uint32(chunk), buffer, ctypes.c_int64(len(buffer)))
                assert n_read > 0, (path, chunk)
                chunk += 1
                n = min(chunk_width, width - left) * apart
                for row in range(min(chunk_height, height - top)):
                    stored = unpack(buffer.raw[row * row_bytes : (row + 1) * row_bytes], bits, n)
                    at = ((top + row) * width + left) * channels + plane
                    into[at : at + n * channels // apart : channels // apart] = array.array("H", stored)
    tiff.TIFFClose(image)
    return into


for path in sorted(pathlib.Path(sys.argv[1]).glob("*.tif")):
    path.with_suffix(".raw").write_bytes(samples(path).tobytes())
