"""Small pictures in many containers, with the sRGB values that decoding must give.

Usage: make_pictures.py [tests/data/images]      (needs Pillow with littleCMS, and numpy)

Writes the files and pictures.json: for each file its size after orientation, the RGB bytes in hexadecimal, and the
tolerance. Values of pictures with a profile are those of Pillow's ImageCms (perceptual intent, no flags); of the
others those of Pillow or of the formula beside the file. Where Pillow reads a hand-made file, both are compared here.
"""
import io
import json
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageOps

W, H = 11, 7
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "data", "images")
ENTRIES = []


def put(name, data, expected, tolerance=0, note=""):
    """expected: u8 [h][w][3]"""
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)
    e = np.ascontiguousarray(expected, dtype=np.uint8)
    ENTRIES.append({"file": name, "width": e.shape[1], "height": e.shape[0], "tolerance": tolerance, "note": note,
                    "rgb": e.tobytes().hex()})


def saved(image, format, **options):
    f = io.BytesIO()
    image.save(f, format, **options)
    return f.getvalue()


def pillow(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def over_white(data):
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", im.size, (255, 255, 255, 255)), im).convert("RGB"))


def same(data, expected):
    got = pillow(data)
    assert got.shape == expected.shape and (got == expected).all(), "Pillow sees other values"
    return expected


# ---- Colour profiles ---------------------------------------------------------------------------------------------

def s15(x):
    return struct.pack(">i", round(x * 65536))


def xyz(x, y, z):
    return b"XYZ \0\0\0\0" + s15(x) + s15(y) + s15(z)


def gamma_curve(g):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(g * 256)) + b"\0\0"


def srgb_curve():
    """parametric, type 3: the piecewise curve of sRGB"""
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(s15, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))


def text_tag(s):
    """profile description of version 2"""
    b = s.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(b)) + b + struct.pack(">IIHB", 0, 0, 0, 0) + b"\0" * 67


def profile(space, cls, tags, version=0x02400000, pcs=b"XYZ "):
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", version, cls, space, pcs)
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 4 + struct.pack(">I", 0) + b"\0" * 16
    head += struct.pack(">I", 0) + s15(0.9642) + s15(1.0) + s15(0.8249) + b"\0" * 48
    assert len(head) == 128
    return head + struct.pack(">I", len(tags)) + table + body


def matrix_profile(name, red, green, blue, curve, version=0x02400000):
    """red, green, blue: D50-adapted XYZ"""
    tags = [(b"desc", text_tag(name)), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1.0, 0.8249)),
            (b"rXYZ", xyz(*red)), (b"gXYZ", xyz(*green)), (b"bXYZ", xyz(*blue)),
            (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve)]
    return profile(b"RGB ", b"mntr", tags, version)


def grey_profile(gamma):
    return profile(b"GRAY", b"mntr", [(b"desc", text_tag("grey")), (b"cprt", b"text\0\0\0\0none\0"),
                                      (b"wtpt", xyz(0.9642, 1.0, 0.8249)), (b"kTRC", gamma_curve(gamma))])


def cmyk_profile():
    """A press that does not exist: lut8 with a grid of 3 per ink, four inks -> Lab."""
    ink = {0: (-35, -45, 55), 1: (70, -5, 48), 2: (-5, 85, 90)}
    clut = bytearray()
    for c in range(3):
        for m in range(3):
            for y in range(3):
                for k in range(3):
                    L, a, b = 96.0, 0.0, 2.0
                    for i, v in ((0, c), (1, m), (2, y)):
                        f = (v / 2) ** 0.8
                        L -= f * (96 - ink[i][2]) * (L / 96)
                        a += f * ink[i][0] * (0.6 + 0.4 * L / 96)
                        b += f * ink[i][1] * (0.6 + 0.4 * L / 96)
                    f = 1 - 0.9 * (k / 2)
                    L, a, b = L * f, a * f, b * f
                    clut += bytes(int(min(255, max(0, round(v)))) for v in (L * 2.55, a + 128, b + 128))
    table = bytes(range(256))
    lut = b"mft1\0\0\0\0" + struct.pack(">BBBB", 4, 3, 3, 0) + b"".join(map(s15, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut += table * 4 + bytes(clut) + table * 3
    return profile(b"CMYK", b"prtr", [(b"desc", text_tag("press")), (b"cprt", b"text\0\0\0\0none\0"),
                                      (b"wtpt", xyz(0.9642, 1.0, 0.8249)), (b"A2B0", lut)], pcs=b"Lab ")


P3 = matrix_profile("P3", (0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407), srgb_curve(), 0x04200000)
ADOBE = matrix_profile("wide", (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), gamma_curve(2.19921875))


def to_srgb(image, icc):
    """Pillow's profileToProfile, alpha carried over"""
    src = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    bare = image.convert({"LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode))
    out = ImageCms.profileToProfile(bare, src, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if alpha is None:
        return np.asarray(out)
    out.putalpha(alpha)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", out.size, (255, 255, 255, 255)), out).convert("RGB"))


def pictures_with_profiles(rgb, grey, alpha):
    im, gim, cmyk = Image.fromarray(rgb), Image.fromarray(grey), Image.fromarray(rgb).convert("CMYK")
    rgba = im.copy()
    rgba.putalpha(Image.fromarray(alpha))
    la = gim.copy()
    la.putalpha(Image.fromarray(alpha))
    g18, press = grey_profile(1.8), cmyk_profile()

    def case(name, image, format, icc, tolerance=1, **options):
        data = saved(image, format, icc_profile=icc, **options)
        stored = Image.open(io.BytesIO(data))
        assert stored.info["icc_profile"] == icc, name
        put(name, data, to_srgb(stored, icc), tolerance, "profile applied")

    case("icc_p3.png", im, "PNG", P3)
    case("icc_p3.webp", im, "WEBP", P3, lossless=True)
    case("icc_p3_alpha.png", rgba, "PNG", P3)
    case("icc_wide.jpg", im, "JPEG", ADOBE, quality=95, subsampling=0)
    case("icc_wide.tif", im, "TIFF", ADOBE)
    case("icc_grey18.png", gim, "PNG", g18)
    case("icc_grey18_alpha.png", la, "PNG", g18)
    case("icc_grey18.jpg", gim, "JPEG", g18, quality=95)
    case("icc_grey18.tif", gim, "TIFF", g18)
    # Versions 2.14 and 2.19 of littleCMS differ by up to 4 levels in the dark end of tables.
    case("icc_press.jpg", cmyk, "JPEG", press, 5, quality=95)
    case("icc_press.tif", cmyk, "TIFF", press, 5)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    put("icc_srgb.png", saved(im, "PNG", icc_profile=srgb), rgb, 0, "the profile is sRGB: bytes as they are")
    data = saved(im, "WEBP", lossless=True, icc_profile=b"this is no profile" * 20)
    put("icc_broken.webp", data, rgb, 0, "a broken profile is ignored")
    data = saved(gim, "TIFF", icc_profile=P3)
    put("icc_wrong_space.tif", data, pillow(data), 0, "an RGB profile says nothing about grey")


# ---- GIF ---------------------------------------------------------------------------------------------------------

def gifs(palette_image):
    colours = np.asarray(palette_image.getpalette()[:48], np.uint8).reshape(-1, 3)
    index = np.asarray(palette_image)
    rgb = colours[index]
    data = saved(palette_image, "GIF", interlace=0)
    put("plain.gif", data, same(data, rgb))
    # Pillow interlaces from 16 pixels a side.
    large = palette_image.resize((17, 19), Image.Resampling.NEAREST)
    put("interlaced.gif", saved(large, "GIF", interlace=1), colours[np.asarray(large)])
    white = rgb.copy()
    white[index == 3] = 255
    put("transparent.gif", saved(palette_image, "GIF", transparency=3, interlace=0), white)
    # The frame at (3, 2) on a canvas of 17x13: patched into the plain file.
    d = bytearray(data)
    struct.pack_into("<HH", d, 6, 17, 13)
    at = d.index(b"\x2c" + struct.pack("<HHHH", 0, 0, W, H))
    struct.pack_into("<HH", d, at + 1, 3, 2)
    canvas = np.full((13, 17, 3), 255, np.uint8)
    canvas[2:2 + H, 3:3 + W] = rgb
    put("offset.gif", bytes(d), canvas, 0, "what the frame leaves free is white")
    struct.pack_into("<HH", d, 6, 5, 4)
    put("overhang.gif", bytes(d), canvas[:2 + H, :3 + W], 0, "a frame that reaches over the canvas widens it")
    other = palette_image.transpose(Image.Transpose.ROTATE_180)
    f = io.BytesIO()
    palette_image.save(f, "GIF", save_all=True, append_images=[other], duration=100)
    put("animated.gif", f.getvalue(), rgb, 0, "first frame")


# ---- BMP ---------------------------------------------------------------------------------------------------------

def bmp(width, height, bits, compression, pixels, colours=b"", masks=b"", header=40, extra=b""):
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(pixels), 2835, 2835, len(colours) // 4, 0)
    head += masks + extra
    at = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + head + colours + pixels


def rows(a, bottom_up=True):
    """u8 [h][bytes] -> padded rows"""
    a = a[::-1] if bottom_up else a
    return b"".join(r.tobytes() + b"\0" * (-len(r.tobytes()) % 4) for r in a)


def packed(index, bits):
    per = 8 // bits
    out = np.zeros((index.shape[0], -(-index.shape[1] // per)), np.uint8)
    for x in range(index.shape[1]):
        out[:, x // per] |= (index[:, x] << (8 - bits * (x % per + 1))).astype(np.uint8)
    return out


def rle8(index):
    """runs for equal neighbours, one literal block of five where a row begins, end marks"""
    out = b""
    for r in index[::-1]:
        r = r.tolist()
        out += bytes([0, 5]) + bytes(r[:5]) + b"\0"
        i = 5
        while i < len(r):
            n = 1
            while i + n < len(r) and r[i + n] == r[i]:
                n += 1
            out += bytes([n, r[i]])
            i += n
        out += b"\0\0"
    return out + b"\0\1"


def rle4(index):
    out = b""
    for r in index[::-1]:
        r = r.tolist()
        out += bytes([0, 5, r[0] << 4 | r[1], r[2] << 4 | r[3], r[4] << 4, 0])
        for i in range(5, len(r), 2):
            n = min(2, len(r) - i)
            out += bytes([n, r[i] << 4 | (r[i + 1] if n == 2 else 0)])
        out += b"\0\0"
    return out + b"\0\1"


def bmps(rgb, palette_image, alpha):
    colours = np.asarray(palette_image.getpalette()[:48], np.uint8).reshape(-1, 3)
    index = np.asarray(palette_image)
    table = b"".join(bytes([int(b), int(g), int(r), 0]) for r, g, b in colours)
    bgr = rgb[:, :, ::-1]
    d = bmp(W, H, 24, 0, rows(bgr.reshape(H, -1)))
    put("rgb24.bmp", d, same(d, rgb))
    d = bmp(W, -H, 24, 0, rows(bgr.reshape(H, -1), False))
    put("topdown24.bmp", d, same(d, rgb))
    d = bmp(W, H, 24, 0, rows(bgr.reshape(H, -1)), header=12)
    put("os2_24.bmp", d, same(d, rgb))
    d = bmp(W, H, 8, 0, rows(index), b"".join(bytes(c[::-1].tolist()) for c in np.vstack([colours, np.zeros((240, 3), np.uint8)])), header=12)
    put("os2_8.bmp", d, same(d, colours[index]))
    bgrx = np.concatenate([bgr, np.full((H, W, 1), 77, np.uint8)], 2)
    d = bmp(W, H, 32, 0, rows(bgrx.reshape(H, -1)))
    put("rgb32.bmp", d, same(d, rgb), 0, "32 bits without masks carry no alpha")
    for bits, n in ((8, 16), (4, 16), (1, 2)):
        i = index if bits > 1 else index & 1
        d = bmp(W, H, bits, 0, rows(packed(i, bits)), table[:4 * n])
        put("palette%d.bmp" % bits, d, same(d, colours[i]))
    d = bmp(W, H, 8, 1, rle8(index), table)
    put("rle8.bmp", d, same(d, colours[index]))
    put("rle4.bmp", bmp(W, H, 4, 2, rle4(index), table), colours[index])
    # two rows up and three pixels along, one pixel, end of the picture: everything else has colour 0
    jumped = np.zeros((H, W), np.uint8)
    jumped[H - 3, 3] = 5
    put("rle8_jump.bmp", bmp(W, H, 8, 1, bytes([0, 2, 3, 2, 1, 5, 0, 1]), table), colours[jumped])
    r, g, b = (rgb[:, :, c].astype(np.uint16) for c in range(3))
    v = (r >> 3 << 10 | g >> 3 << 5 | b >> 3).astype("<u2")
    e = np.stack([(c >> 3) * 255 // 31 for c in (r, g, b)], -1)
    d = bmp(W, H, 16, 0, rows(v.view(np.uint8).reshape(H, -1)))
    put("rgb555.bmp", d, same(d, e))
    v = (r >> 3 << 11 | g >> 2 << 5 | b >> 3).astype("<u2")
    e = np.stack([(r >> 3) * 255 // 31, (g >> 2) * 255 // 63, (b >> 3) * 255 // 31], -1)
    d = bmp(W, H, 16, 3, rows(v.view(np.uint8).reshape(H, -1)), masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f))
    put("rgb565.bmp", d, same(d, e))
    rgba = np.concatenate([bgr, alpha[:, :, None]], 2)
    masks = struct.pack("<IIII", 0xff0000, 0xff00, 0xff, 0xff000000)
    d = bmp(W, H, 32, 3, rows(rgba.reshape(H, -1)), masks=masks, header=108, extra=b"\0" * 52)
    put("rgba32.bmp", d, over_white(d))


# ---- TIFF --------------------------------------------------------------------------------------------------------

def tiff(tags, blocks, order="<"):
    """tags: {tag: (type, values)}; blocks: strips or tiles, whose offsets and sizes go into the tags 0 and 1 places."""
    tags = dict(tags)
    tiled = 322 in tags
    offsets, at = [], 8
    for b in blocks:
        offsets.append(at)
        at += len(b) + len(b) % 2
    tags[324 if tiled else 273] = (4, offsets)
    tags[325 if tiled else 279] = (4, [len(b) for b in blocks])
    body = b"".join(b + b"\0" * (len(b) % 2) for b in blocks)
    ifd, extra = struct.pack(order + "H", len(tags)), b""
    after = at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        data = struct.pack(order + str(len(values)) + {3: "H", 4: "I"}[kind], *values)
        ifd += struct.pack(order + "HHI", tag, kind, len(values))
        if len(data) <= 4:
            ifd += data + b"\0" * (4 - len(data))
        else:
            ifd += struct.pack(order + "I", after + len(extra))
            extra += data
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", at) + body + ifd + struct.pack(order + "I", 0) + extra


def tags(bits, photometric, samples, compression=1, planar=1, **more):
    t = {256: (4, [W]), 257: (4, [H]), 258: (3, [bits] * samples), 259: (3, [compression]), 262: (3, [photometric]),
         277: (3, [samples]), 284: (3, [planar])}
    t.update({int(k[1:]): v for k, v in more.items()})
    return t


def tiffs(rgb, grey, palette_image, alpha):
    im, gim = Image.fromarray(rgb), Image.fromarray(grey)
    g3 = np.stack([grey] * 3, -1)
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        put("%s.tif" % name.replace("tiff_", ""), saved(im, "TIFF", compression=name), rgb)
    d = saved(im, "TIFF", compression="jpeg", quality=95)
    put("jpeg.tif", d, pillow(d), 2, "YCbCr inside")
    d = saved(Image.fromarray(grey > 100), "TIFF", compression="group4")
    put("group4.tif", d, pillow(d))
    d = saved(palette_image, "TIFF")
    put("palette.tif", d, pillow(d))
    ex = Image.Exif()
    ex[0x0112] = 6
    d = saved(im, "TIFF", exif=ex)
    put("orientation6.tif", d, np.rot90(rgb, -1), 0, "quarter turn clockwise")
    d = tiff(tags(8, 2, 3, t274=(3, [7]), t278=(4, [2])), [rgb[y:y + 2].tobytes() for y in range(0, H, 2)])
    put("strips_orientation7.tif", d, same(d, rgb[::-1, ::-1].transpose(1, 0, 2)), 0, "strips of two rows")
    put("bigendian.tif", tiff(tags(8, 2, 3), [rgb.tobytes()], ">"), rgb)
    d = tiff(tags(8, 0, 1), [(255 - grey).tobytes()])
    put("white_is_zero.tif", d, same(d, g3))
    g16 = (grey.astype(np.uint16) << 8 | 0x9c)
    put("grey16.tif", tiff(tags(16, 1, 1), [g16.astype("<u2").tobytes()]), g3, 0, "the high byte")
    put("grey16_bigendian.tif", tiff(tags(16, 1, 1), [g16.astype(">u2").tobytes()], ">"), g3, 0, "the high byte")
    r16 = (rgb.astype(np.uint16) << 8 | 0xf1)
    put("rgb16.tif", tiff(tags(16, 2, 3), [r16.astype("<u2").tobytes()]), rgb, 0, "the high byte")
    put("rgb16_bigendian_deflate.tif", tiff(tags(16, 2, 3, 8), [zlib.compress(r16.astype(">u2").tobytes())], ">"), rgb, 0, "the high byte")
    put("planes.tif", tiff(tags(8, 2, 3, planar=2), [rgb[:, :, c].tobytes() for c in range(3)]), rgb)
    big = np.zeros((16, 16, 3), np.uint8)
    big[:H, :W] = rgb
    put("tiles.tif", tiff(tags(8, 2, 3, t322=(4, [16]), t323=(4, [16])), [big.tobytes()]), rgb)
    rgba = np.concatenate([rgb, alpha[:, :, None]], 2)
    d = tiff(tags(8, 2, 4, t338=(3, [2])), [rgba.tobytes()])
    e = over_white(d)
    put("alpha.tif", d, e)
    put("alpha_planes.tif", tiff(tags(8, 2, 4, planar=2, t338=(3, [2])), [rgba[:, :, c].tobytes() for c in range(4)]), e)
    d = tiff(tags(8, 2, 4, t338=(3, [0])), [rgba.tobytes()])
    put("extra_is_not_alpha.tif", d, same(d, rgb))
    pre = rgba.copy()
    pre[:, :, :3] = (rgba[:, :, :3].astype(int) * alpha[:, :, None] // 255)
    d = tiff(tags(8, 2, 4, t338=(3, [1])), [pre.tobytes()])
    put("premultiplied.tif", d, over_white(d))
    ga = np.stack([grey, alpha], -1)
    la = Image.fromarray(grey)
    la.putalpha(Image.fromarray(alpha))
    put("grey_alpha.tif", tiff(tags(8, 1, 2, t338=(3, [2])), [ga.tobytes()]), over_white(saved(la, "PNG")))
    cmyk = im.convert("CMYK")
    d = saved(cmyk, "TIFF")
    put("cmyk.tif", d, pillow(d))
    i4 = np.asarray(palette_image)
    d = tiff(tags(4, 1, 1), [packed(i4, 4).tobytes()])
    put("grey4.tif", d, np.stack([i4 * 17] * 3, -1))


def main():
    os.makedirs(OUT, exist_ok=True)
    y, x = np.mgrid[0:H, 0:W]
    rgb = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x * 37 + y * 91 + x * y * 5) % 256], -1).astype(np.uint8)
    grey = ((x * 23 + y * 17) % 256).astype(np.uint8)
    alpha = ((x * 61 + y * 40) % 256).astype(np.uint8)
    alpha[0, :2] = (0, 255)
    palette_image = Image.fromarray(((x + y * 2) // 2 % 16).astype(np.uint8))
    palette_image = palette_image.convert("L")
    p = Image.frombytes("P", (W, H), palette_image.tobytes())
    p.putpalette([v for i in range(16) for v in (i * 17, 255 - i * 13, (i * 83 + 20) % 256)])
    pictures_with_profiles(rgb, grey, alpha)
    gifs(p)
    bmps(rgb, p, alpha)
    tiffs(rgb, grey, p, alpha)
    import PIL
    with open(os.path.join(OUT, "pictures.json"), "w") as f:
        json.dump({"made_by": "tests/make/make_pictures.py", "pillow": PIL.__version__, "pictures": ENTRIES}, f, indent=0)
        f.write("\n")
    print(len(ENTRIES), "pictures")


if __name__ == "__main__":
    main()
