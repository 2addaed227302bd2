"""Submit: the answer's shape, every parameter's good and bad values, pictures in all their forms."""

from __future__ import annotations

import base64
from typing import Any

from harness import pictures
from harness.client import MODELS, MULTI, NOWHERE, QUICK, SINGLE, ULTRA_FAST
from harness.contract import check_error, check_prediction
from harness.receiver import Receiver
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect

suite = Suite("submit", one_server)


def with_(**changes: Any) -> dict[str, Any]:
    """The quick job, changed; None takes a field away."""
    return {name: value for name, value in {**QUICK, **changes}.items() if value is not ...}


# ---- The answer ----


@suite.case("a submit answers 200 with a whole prediction of the right types")
def _(server: Server) -> None:
    data = server.api.submit(QUICK)
    check_prediction(data, server.base)
    expect(data["status"] in ("created", "processing", "completed"), f"status is {data['status']}")
    equal(data["model"], MULTI, "model")
    equal(len(data["id"]), 32, "length of the id")
    done = server.api.wait(data["id"], status="completed")
    check_prediction(done, server.base)
    expect(done["executionTime"] >= 0 and done["timings"]["inference"] >= 0, f"{done['timings']}")


def add_model(model: str) -> None:
    @suite.case(f"the model {model} runs")
    def _(server: Server) -> None:
        done = server.api.run(QUICK, model)
        check_prediction(done, server.base)
        equal(done["model"], model, "model")


for name in MODELS:
    add_model(name)


@suite.case("the way of version 2 submits and polls")
def _(server: Server) -> None:
    data = server.api.post(f"/api/v2/{MULTI}", QUICK).data
    check_prediction(data, server.base)
    server.api.wait(data["id"], status="completed")
    check_prediction(server.api.get(f"/api/v2/predictions/{data['id']}/result").data, server.base)


@suite.case("the prediction tells its seeds, progress and price beside the contract's fields")
def _(server: Server) -> None:
    done = server.api.run(with_(num_images=2, seed=41))
    equal(done["seeds"], [41, 42], "seeds")
    expect(abs(done["price"] - 0.06) < 1e-9, f"price is {done['price']!r}")
    equal(done["progress"], 1, "progress")
    equal(len(done["outputs"]), 2, "outputs")


@suite.case("a seed of -1 draws one, tells it, and the same seed gives the same bytes")
def _(server: Server) -> None:
    drawn = server.api.run(with_(seed=-1, output_format="png"))
    (seed,) = drawn["seeds"]
    expect(type(seed) is int and 0 <= seed < 2**32, f"the seed is {seed!r}")
    again = server.api.run(with_(seed=seed, output_format="png"))
    equal(server.api.outputs(again), server.api.outputs(drawn), "bytes of the second run")


# ---- Parameters ----


def add_good(name: str, params: dict[str, Any], check: Any = None) -> None:
    @suite.case(name)
    def _(server: Server) -> None:
        done = server.api.run(params)
        if check:
            check(server, done)


def has_size(width: int, height: int) -> Any:
    def check(server: Server, done: Any) -> None:
        for data in server.api.outputs(done):
            equal(pictures.size(data), (width, height), "size of the output")

    return check


def has_kind(kind: str, suffixes: tuple[str, ...]) -> Any:
    def check(server: Server, done: Any) -> None:
        (url,) = done["outputs"]
        expect(url.endswith(suffixes), f"the URL {url} does not end in {suffixes}")
        reply = server.anyone.get(url).ok()
        equal(pictures.kind(reply.body), kind, "format by content")
        equal(reply.headers["Content-Type"], f"image/{kind}", "Content-Type")

    return check


def warns(*words: str) -> Any:
    def check(_server: Server, done: Any) -> None:
        text = " | ".join(done["warnings"])
        expect(all(word in text for word in words), f"the warnings are {done['warnings']}, expected {words}")

    return check


add_good("size as 64*96", with_(size="64*96"), has_size(64, 96))
add_good("size as 96x64", with_(size="96x64"), has_size(96, 64))
add_good("size as the string 80", with_(size="80"), has_size(80, 80))
add_good("size as the number 80", with_(size=80), has_size(80, 80))
add_good("size of no multiple of 16 is met exactly", with_(size="75*101"), has_size(75, 101))
add_good("an empty size is none", with_(size=""), has_size(128, 128))
add_good("without size and pictures the native size is taken", with_(size=...), has_size(128, 128))
add_good("width and height say size", with_(size=..., width=96, height=64), has_size(96, 64))
add_good("size wins over width and height, with a warning", with_(width=96, height=96), warns("width", "height"))
add_good("output_format png", with_(output_format="png"), has_kind("png", (".png",)))
add_good("output_format jpeg", with_(output_format="jpeg"), has_kind("jpeg", (".jpeg", ".jpg")))
add_good("output_format webp", with_(output_format="webp"), has_kind("webp", (".webp",)))
add_good("output_format defaults to jpeg", with_(), has_kind("jpeg", (".jpeg", ".jpg")))
add_good("50 steps", with_(num_inference_steps=50))
add_good("guidance_scale 1 and 20", with_(guidance_scale=20.0))
add_good("guidance_scale as an integer", with_(guidance_scale=1))
add_good("num_images 4", with_(num_images=4), lambda s, d: equal(len(d["outputs"]), 4, "outputs"))
add_good("a seed of 31 bits", with_(seed=2147483647), lambda s, d: equal(d["seeds"], [2147483647], "seeds"))
add_good("a seed beyond 31 bits wraps, with a warning", with_(seed=9999999998), warns("seed"))
add_good("an unknown field is dropped and named in the warnings", with_(lora_scale=3), warns("lora_scale"))
add_good("a body that repeats the model is fine", with_(model=MULTI))
add_good("enable_safety_checker of older clients is accepted", with_(enable_safety_checker=True))
add_good("parameters that are null count as absent", with_(
    size=None, images=None, image=None, seed=None, num_images=None, guidance_scale=None, output_format=None,
    enable_sync_mode=None, enable_base64_output=None, num_inference_steps=None))  # fmt: skip
add_good("only a prompt is needed", {"prompt": "a house"})
add_good("a prompt in other scripts and with quotes", with_(prompt='Straße "北京" \u0000'.replace("\u0000", "") + " 🎈"))


WRONG_TYPES: dict[str, Any] = {
    "prompt": [3, True, [], {}, ["a"]],
    "images": ["text", 3, True, {}, [3], [None], [[]], [{}]],
    "image": [3, True, {}, []],
    "size": [True, [], {}, "wide", "64*", "*64", "64*64*64", "-64*64", "64 * 64", "6e1*64", "64.5*64", 64.5, "0x40*64"],
    "width": ["wide", True, [], {}],
    "height": ["high", True, [], {}],
    "num_inference_steps": ["many", True, 1.5, [], {}],
    "guidance_scale": ["much", True, [], {}],
    "num_images": ["one", True, 1.5, [], {}],
    "seed": ["none", True, 1.5, [], {}],
    "output_format": [3, True, [], {}],
    "enable_base64_output": ["yes", 1, [], {}],
    "enable_sync_mode": ["yes", 1, [], {}],
    "webhook_url": [3, True, [], {}],
}

OUT_OF_RANGE: dict[str, Any] = {
    "prompt": [""],
    "size": ["0*0", "8*64", "64*99999", 4, 99999999999],
    "num_inference_steps": [0, -1, 51, 10**12],
    "guidance_scale": [0, 0.99, 20.5, -1, 1e300],
    "num_images": [0, 5, -1, 10**12],
    "seed": [-2, -(10**12)],
    "output_format": ["gif", "PNG ", "bmp", ""],
}


def add_bad(field: str, values: list[Any], how: str) -> None:
    @suite.case(f"{field} {how} is refused at submit and named")
    def _(server: Server) -> None:
        for value in values:
            params = with_(**{field: value})
            if field in ("width", "height"):
                params = with_(size=..., **{"width": 64, "height": 64, field: value})
            reply = server.api.post(f"/api/v3/{MULTI}", params)
            expect(reply.status == 400, f"{field}={value!r}: HTTP {reply.status} {reply.body[:200]!r}")
            check_error(reply, 400, field, reply.json()["code"])


for field, values in WRONG_TYPES.items():
    add_bad(field, values, "of a wrong type")
for field, values in OUT_OF_RANGE.items():
    add_bad(field, values, "out of range")


@suite.case("a submit without prompt is refused")
def _(server: Server) -> None:
    for params in ({}, {"images": []}, {"prompt": None}):
        check_error(server.api.post(f"/api/v3/{MULTI}", params), 400, "prompt")


@suite.case("width or height alone is refused")
def _(server: Server) -> None:
    check_error(server.api.post(f"/api/v3/{MULTI}", with_(size=..., width=64)), 400, "width")
    check_error(server.api.post(f"/api/v3/{MULTI}", with_(size=..., height=64)), 400, "height")


@suite.case("the sides of the catalogue are the ones that are enforced")
def _(server: Server) -> None:
    models = {entry["model_id"]: entry for entry in server.api.get("/api/v3/models").data}
    size = models[MULTI]["api_schema"]["api_schemas"][0]["request_schema"]["properties"]["size"]
    low, high = size["minimum"], size["maximum"]
    for side in (low - 1, high + 1):
        check_error(server.api.post(f"/api/v3/{MULTI}", with_(size=f"{side}*{low}")), 400, "size")
    server.api.run(with_(size=f"{low}*{low}"))


# ---- Pictures ----


@suite.case("zero to four pictures are accepted, five are refused")
def _(server: Server) -> None:
    url = server.api.upload(pictures.png())
    for count in range(5):
        server.api.run(with_(images=[url] * count))
    check_error(server.api.post(f"/api/v3/{MULTI}", with_(images=[url] * 5)), 400, "images")


@suite.case("the model of one picture takes image, and refuses two")
def _(server: Server) -> None:
    url = server.api.upload(pictures.png())
    server.api.run(with_(image=url), SINGLE)
    server.api.run(with_(images=[url]), SINGLE)
    check_error(server.api.post(f"/api/v3/{SINGLE}", with_(images=[url, url])), 400, "image")


@suite.case("image counts when images is absent or empty, and gives the same bytes")
def _(server: Server) -> None:
    url = server.api.upload(pictures.png())
    wanted = server.api.outputs(server.api.run(with_(images=[url], output_format="png")))
    for form in ({"image": url}, {"image": url, "images": []}, {"image": url, "images": None}):
        equal(server.api.outputs(server.api.run(with_(output_format="png", **form))), wanted, f"bytes with {list(form)}")
    plain = server.api.outputs(server.api.run(with_(output_format="png")))
    expect(plain != wanted, "a picture makes no difference")


@suite.case("image is ignored when images is given")
def _(server: Server) -> None:
    url = server.api.upload(pictures.png())
    done = server.api.run(with_(images=[url], image="/home/me/picture.png"))
    expect(any("image" in text for text in done["warnings"]), f"the warnings are {done['warnings']}")


@suite.case("a URL, an upload, a data URI and naked base64 of one picture give the same bytes", 120)
def _(server: Server) -> None:
    picture = pictures.png(40, 56)
    text = base64.b64encode(picture).decode()
    with Receiver() as receiver:
        forms = {
            "a URL": receiver.give("/a.png", picture),
            "a URL with a query": receiver.give("/b?name=c.png&x=%20", picture),
            "an upload": server.api.upload(picture),
            "a data URI": f"data:image/png;base64,{text}",
            "a data URI with a wrong type": f"data:application/octet-stream;base64,{text}",
            "naked base64": text,
            "naked base64 without padding": text.rstrip("="),
            "base64 with line breaks": "\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        }
        found = {name: server.api.outputs(server.api.run(with_(images=[form], output_format="png"))) for name, form in forms.items()}
    for name in forms:
        equal(found[name], found["an upload"], f"bytes with {name}")


def add_format(kind: str, file: str) -> None:
    @suite.case(f"a picture in {kind} is accepted")
    def _(server: Server) -> None:
        text = base64.b64encode(pictures.sample(file)).decode()
        server.api.run(with_(images=[f"data:image/{kind};base64,{text}"]))


for kind, file in pictures.FORMATS.items():
    add_format(kind, file)


@suite.case("an output of this server is an input without being fetched")
def _(server: Server) -> None:
    first = server.api.run(with_(output_format="png"))
    server.api.run(with_(images=first["outputs"]))


@suite.case("the input is told back, inline pictures as URLs")
def _(server: Server) -> None:
    text = base64.b64encode(pictures.png()).decode()
    done = server.api.run(with_(images=[f"data:image/png;base64,{text}"]))
    equal(done["input"]["prompt"], QUICK["prompt"], "input.prompt")
    (image,) = done["input"]["images"]
    expect(image.startswith(server.base), f"input.images holds {image[:80]}")
    equal(server.api.download(image), pictures.png(), "bytes at that URL")


def add_failed(name: str, image: Any, sentence: str) -> None:
    @suite.case(f"{name} is a failed prediction with code 1402, and nothing is charged")
    def _(server: Server) -> None:
        before = server.api.balance()
        with Receiver() as receiver:
            value = image(receiver) if callable(image) else image
            reply = server.api.post(f"/api/v3/{MULTI}", with_(images=[value]))
            done = server.api.wait(reply.data["id"], 30, "failed")
        check_prediction(done, server.base)
        equal(done["code"], 1402, f"code ({done['error']})")
        expect(sentence in done["error"].lower(), f"the sentence {done['error']!r} has no '{sentence}'")
        for word in ("http 5", "http 429", "timeout", "connection", "429"):
            expect(word not in done["error"].lower(), f"the sentence {done['error']!r} makes clients try again ('{word}')")
        equal(server.api.balance(), before, "balance")


add_failed("a URL that answers 404", lambda r: r.url("/none.png"), "404")
add_failed("a URL that answers 500", lambda r: r.give("/broken.png", b"", status=500), "")
add_failed("a URL that is no picture", lambda r: r.give("/page.png", b"<html>no</html>", kind="text/html"), "")
add_failed("a zip named .png", lambda r: r.give("/zip.png", b"PK\x03\x04" + bytes(60)), "")
add_failed("a URL where nobody listens", NOWHERE, "")
add_failed("a truncated picture", lambda r: r.give("/cut.png", pictures.png()[:80]), "")
add_failed("a path of the caller's machine in image", "/home/me/picture.png", "")


@suite.case("multi-ultra-fast gives what multi gives")
def _(server: Server) -> None:
    params = with_(output_format="png")
    equal(server.api.outputs(server.api.run(params, ULTRA_FAST)), server.api.outputs(server.api.run(params)), "bytes")


suite.main()
