"""Reads requests: an image and boxes, as a body, a form or JSON. Does not decode the image."""

import base64
import io
import re
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import anyio
import numpy as np
from fastapi import HTTPException, Request
from PIL import Image
from pydantic import (
    Base64Encoder,
    BaseModel,
    ConfigDict,
    EncodedBytes,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError
from starlette.requests import ClientDisconnect

from ppose.geometry import bbox_xywh_to_xyxy
from ppose.serving.batching import Job
from ppose.serving.limits import Limits

# OpenCV decodes more formats, but decoders of rare ones are less tested against malicious files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `Limits` has its own limit

_Place = Annotated[float, Field(strict=True, ge=-1e6, le=1e6)]
_Extent = Annotated[float, Field(strict=True, gt=0, le=1e6)]
Boxes = list[tuple[_Place, _Place, _Extent, _Extent]]
_DATA_URL, _PLAIN = re.compile(rb"data:[^,]{0,99};base64,"), bytes.maketrans(b"-_", b"+/")
_BOXES: TypeAdapter[Boxes] = TypeAdapter(Boxes)


class _Base64(Base64Encoder):
    """Base64 in either alphabet, or a browser's `data:` URL; rejects other characters instead of skipping."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Return the decoded bytes."""
        text = _DATA_URL.sub(b"", data, count=1).translate(_PLAIN, b"\t\n\r ")
        try:
            return base64.b64decode(text, validate=True)
        except ValueError as error:
            raise PydanticCustomError("base64", "not base64: {error}", {"error": str(error)}) from None


class JsonRequest(BaseModel):
    """A request as JSON."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[bytes, EncodedBytes(encoder=_Base64)] = Field(
        description="the image file's content in base64"
    )
    boxes: Boxes | None = Field(None, description="one per person: x, y, width, height in pixels")


async def read_request(request: Request, boxes: str | None, limits: Limits) -> Job:
    """Read a request; ``boxes`` come from its query. HTTPException 4xx if it is invalid or over a limit."""
    body = await _read_body(request, limits)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found: Boxes | None = None
    if kind == "application/json":
        asked = _validate(lambda: JsonRequest.model_validate_json(body))
        data, found = asked.image, asked.boxes
    elif kind == "multipart/form-data":
        data, of_form = await _read_form(request, body)
        boxes = boxes if of_form is None else of_form
    else:  # whatever the header says: the content tells the format
        data = body
    if boxes is not None:
        found = _validate(lambda: _BOXES.validate_json(boxes))
    if found is not None and len(found) > limits.people:
        raise HTTPException(422, f"got {len(found)} boxes, expected {limits.people} at most")
    pixels = _count_pixels(data, limits)
    xyxy = None if found is None else bbox_xywh_to_xyxy(np.array(found, np.float64).reshape(-1, 4))
    return Job(data=data, pixels=pixels, bboxes_xyxy=xyxy)


async def _read_body(request: Request, limits: Limits) -> bytes:
    # Base64 and the form's boundaries make a body larger than its image.
    most = limits.bytes * 4 // 3 + 4096
    too_large = HTTPException(413, f"the request is larger than {most} bytes")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(limits.read_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {limits.read_seconds:g} s") from None
    except ClientDisconnect:  # nobody receives this answer
        raise HTTPException(400, "the body ended early") from None
    return bytes(body)


async def _read_form(request: Request, body: bytes) -> tuple[bytes, str | None]:
    """The form's part `image`, and its part `boxes` or None."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=1) as form:
            image, boxes = form.get("image"), form.get("boxes")
            if image is None or isinstance(image, str) or not isinstance(boxes, str | None):
                raise HTTPException(422, "expected a file part called image, and no file called boxes")
            return await image.read(), boxes
    except (ValueError, KeyError) as error:  # the parser does not wrap all its errors
        raise HTTPException(400, f"not a form: {error}") from None


def _count_pixels(data: bytes, limits: Limits) -> int:
    """The number of pixels that an image's header states."""
    if len(data) > limits.bytes:
        raise HTTPException(413, f"the image has {len(data)} bytes, expected {limits.bytes} at most")
    if not data:
        raise HTTPException(422, "the request has no image")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise HTTPException(413, f"the image has more than {limits.pixels} pixels") from None
    except (OSError, ValueError, SyntaxError, TypeError, ArithmeticError, LookupError):
        raise HTTPException(415, f"not an image; expected one of {', '.join(FORMATS)}") from None
    if width * height > limits.pixels:
        raise HTTPException(413, f"the image has {width}x{height} pixels, expected {limits.pixels} at most")
    return width * height


def _validate(read: Callable[[], Any]) -> Any:
    """The result of ``read``; pydantic's first error becomes an HTTPException 422."""
    try:
        return read()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HTTPException(422, f"{where}: {first['msg']}" if where else first["msg"]) from None
