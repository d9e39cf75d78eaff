"""What Schemathesis cannot make up by itself: WebAssembly, pipelines, and what there is on the host.

AZENHA_PLUGIN and AZENHA_PIPELINE name files that are right, AZENHA_NAMES is JSON: of each parameter of a path, what there
is of it on the host.
"""

import json
import os
from pathlib import Path
from zlib import crc32

import schemathesis
from hypothesis import strategies as st

PLUGIN = Path(os.environ["AZENHA_PLUGIN"]).read_bytes()
PIPELINE = Path(os.environ["AZENHA_PIPELINE"]).read_text()
NAMES = json.loads(os.environ["AZENHA_NAMES"])


@st.composite
def flipped(draw):
    """The plugin with some bits of it turned over."""
    wasm = bytearray(PLUGIN)
    for _ in range(draw(st.integers(1, 4))):
        wasm[draw(st.integers(0, len(wasm) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(wasm)


@st.composite
def edited(draw):
    """The pipeline with a piece of it gone, doubled, or replaced."""
    begin, end = sorted(draw(st.tuples(*[st.integers(0, len(PIPELINE))] * 2)))
    piece = draw(st.sampled_from(["", PIPELINE[begin:end] * 2]) | st.text(max_size=20))
    return (PIPELINE[:begin] + piece + PIPELINE[end:]).encode()


prefixes = st.integers(0, len(PLUGIN)).map(lambda length: PLUGIN[:length])
schemathesis.openapi.media_type(
    "application/wasm", st.just(PLUGIN) | prefixes | flipped() | st.binary(max_size=4096)
)
schemathesis.openapi.media_type("application/yaml", st.just(PIPELINE.encode()) | edited())


@schemathesis.serializer("application/wasm")
def wasm(context, value):
    """Whatever is no WebAssembly goes out, too."""
    return value if isinstance(value, bytes) else repr(value).encode()


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Asks for what there is, most of the time, and ends live rows, which go on for ever."""
    path = case.operation.path
    if path.endswith("/tap"):
        case.query["seconds"] = 0
    if path.startswith("/plugins"):
        return
    if case.method.upper() == "DELETE" and path == "/pipelines/{name}":
        # What would be left to ask for?
        case.path_parameters["name"] += "-of-somebody"
        return
    for name, value in case.path_parameters.items():
        choice = crc32(repr(value).encode())
        if choice % 4 and name in NAMES:
            case.path_parameters[name] = NAMES[name][choice % len(NAMES[name])]
